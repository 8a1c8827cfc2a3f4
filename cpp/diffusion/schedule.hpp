// Solvers as tables (docs/BUNDLE.md, "Schedules"). There is no solver here.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "bundle/reader.hpp"
#include "bundle/schema.hpp"
#include "request/params.hpp"

namespace aptp {

// One summand of a row: `coefficient` times what was `back` steps ago; never zero.
struct Term {
    std::size_t back = 0;
    float coefficient = 0;
};

// One UNet call and the step after it.
struct Row {
    float timestep = 0;
    float input_scale = 0;
    std::vector<Term> states;
    std::vector<Term> outputs;
    float of_state = 0;   // what of its own state are the clean latents, as far as can be told then
    float of_output = 0;  // and what of its own output
};

// The rows of one solver at one step count, and what the start noise is multiplied by.
struct SolverSteps {
    std::vector<Row> rows;
    float noise_scale = 1;
    std::size_t window = 1;
};

// One solver's table, from which the rows for any offered step count are read. Any thread may ask.
class Solver {
public:
    // `data` is the table's file. Throws Failure (manifest) for a value that is not finite.
    Solver(std::string name, ScheduleEntry entry, std::string_view data);

    // Read the table of the solver `name`, which the manifest has. Throws Failure (manifest, integrity).
    static std::shared_ptr<const Solver> load(const Bundle& bundle, const std::string& name);

    // The rows for a request. Throws Failure (usage) where the solver does not offer its steps.
    std::shared_ptr<const SolverSteps> steps(const ResolvedParams& params) const;

    const std::string& name() const noexcept { return name_; }

private:
    SolverSteps read(std::int64_t count) const;

    std::string name_;
    ScheduleEntry entry_;
    std::vector<float> table_;
    mutable std::mutex mutex_;  // over read_
    mutable std::map<std::int64_t, std::shared_ptr<const SolverSteps>> read_;
};

}  // namespace aptp
