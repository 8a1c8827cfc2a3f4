#include "diffusion/schedule.hpp"

#include <cmath>
#include <cstring>
#include <numeric>

#include "errors.hpp"

namespace aptp {
namespace {

std::vector<float> parse_table(std::string_view data, const std::string& path) {
    std::vector<float> table(data.size() / 4);
    for (std::size_t index = 0; index < table.size(); ++index) {
        std::uint32_t bits = 0;
        for (std::size_t byte = 4; byte-- > 0;) {
            bits = (bits << 8) | static_cast<unsigned char>(data[4 * index + byte]);
        }
        std::memcpy(&table[index], &bits, 4);
        if (!std::isfinite(table[index])) {
            throw Failure(Status::manifest, path + ": holds a value that is not finite");
        }
    }
    return table;
}

// `1 to 50, 60` for runs of consecutive step counts that are offered.
std::string offered(const std::vector<std::int64_t>& rows) {
    std::string text;
    for (std::size_t index = 0; index < rows.size(); ++index) {
        if (rows[index] == 0) continue;
        std::size_t last = index;
        while (last + 1 < rows.size() && rows[last + 1] != 0) ++last;
        text += (text.empty() ? "" : ", ") + std::to_string(index + 1);
        if (last > index) text += " to " + std::to_string(last + 1);
        index = last;
    }
    return text.empty() ? "no step count" : text;
}

std::vector<Term> terms(const float* coefficients, std::size_t window) {
    std::vector<Term> found;
    for (std::size_t back = 0; back < window; ++back) {
        if (coefficients[back] != 0) found.push_back({back, coefficients[back]});
    }
    return found;
}

bool reads_beyond(const std::vector<Term>& terms, std::size_t index) {
    for (const Term& term : terms) {
        if (term.back > index) return true;
    }
    return false;
}

}  // namespace

Solver::Solver(std::string name, ScheduleEntry entry, std::string_view data)
    : name_(std::move(name)), entry_(std::move(entry)), table_(parse_table(data, entry_.table)) {
    const auto rows = std::accumulate(entry_.rows.begin(), entry_.rows.end(), std::int64_t{0});
    const std::int64_t values = (4 + 2 * entry_.window) * rows;
    if (data.size() % 4 != 0 || static_cast<std::int64_t>(table_.size()) != values) {
        throw Failure(Status::manifest, entry_.table + ": must have " + std::to_string(4 * values) + " bytes");
    }
}

std::shared_ptr<const Solver> Solver::load(const Bundle& bundle, const std::string& name) {
    const ScheduleEntry& entry = bundle.manifest().schedules.find(name)->second;
    return std::make_shared<const Solver>(name, entry, bundle.files().read(entry.table));
}

std::shared_ptr<const SolverSteps> Solver::steps(const ResolvedParams& params) const {
    const std::lock_guard lock(mutex_);
    std::shared_ptr<const SolverSteps>& found = read_[params.steps];
    if (!found) {
        try {
            found = std::make_shared<const SolverSteps>(read(params.steps));
        } catch (...) {
            read_.erase(params.steps);
            throw;
        }
    }
    return found;
}

SolverSteps Solver::read(std::int64_t count) const {
    const auto number = static_cast<std::size_t>(count);
    if (count < 1 || number > entry_.rows.size() || entry_.rows[number - 1] == 0) {
        throw Failure(Status::usage, "steps " + std::to_string(count) + ": solver " + repr(name_) + " offers " +
                                         offered(entry_.rows) + "; choose one of these");
    }
    const auto window = static_cast<std::size_t>(entry_.window);
    const std::size_t width = 4 + 2 * window;
    const auto before = std::accumulate(entry_.rows.begin(), entry_.rows.begin() + (count - 1), std::int64_t{0});
    const float* values = table_.data() + width * static_cast<std::size_t>(before);
    SolverSteps found;
    found.noise_scale = static_cast<float>(entry_.noise_scale[number - 1]);
    found.window = window;
    for (std::size_t index = 0; index < static_cast<std::size_t>(entry_.rows[number - 1]); ++index, values += width) {
        Row row{values[0],
                values[1],
                terms(values + 2, window),
                terms(values + 2 + window, window),
                values[2 + 2 * window],
                values[3 + 2 * window]};
        if (reads_beyond(row.states, index) || reads_beyond(row.outputs, index)) {
            throw Failure(Status::manifest, entry_.table + ": row " + std::to_string(index) + " for " +
                                                std::to_string(count) + " steps reads before the first row");
        }
        found.rows.push_back(std::move(row));
    }
    return found;
}

}  // namespace aptp
