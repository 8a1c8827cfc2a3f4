// What a bundle can be asked for here.
#include <iterator>
#include <string>
#include <vector>

#include "api/guard.hpp"
#include "api/handles.hpp"
#include "api/structs.hpp"

using namespace aptp;
using namespace aptp::api;

void aptp::api::check_index(const char* what, std::int64_t index, std::size_t count) {
    if (index >= 0 && index < static_cast<std::int64_t>(count)) return;
    throw Failure(Status::usage, std::string(what) + " " + std::to_string(index) + ": there are " +
                                     std::to_string(count) + ", from 0");
}

aptp_status aptp_engine(aptp_runtime* runtime, int64_t index, aptp_engine_info* engine) {
    return guarded([&] {
        const auto opened = runtimes().find(runtime);
        const auto models = opened->core()->models();
        const std::vector<std::string> names = models->engines();
        check_index("engine", index, names.size());
        const std::string& name = names[static_cast<std::size_t>(index)];
        const auto missing = models->missing(name);
        aptp_engine_info told = APTP_ENGINE_INFO_INIT;
        told.name = opened->keep(name);
        told.missing = missing ? opened->keep(*missing) : nullptr;
        write(engine, told, "engine");
        return APTP_OK;
    });
}

aptp_status aptp_solver(aptp_runtime* runtime, int64_t index, aptp_solver_info* solver) {
    return guarded([&] {
        const auto opened = runtimes().find(runtime);
        const auto models = opened->core()->models();
        const auto& schedules = models->manifest().schedules;
        check_index("solver", index, schedules.size());
        const auto& [name, schedule] = *std::next(schedules.begin(), index);
        std::vector<std::int64_t> offered;
        for (std::size_t place = 0; place < schedule.rows.size(); ++place) {
            if (schedule.rows[place] != 0) offered.push_back(static_cast<std::int64_t>(place) + 1);
        }
        const std::vector<std::int64_t>& kept = opened->keep(std::move(offered));
        aptp_solver_info told = APTP_SOLVER_INFO_INIT;
        told.name = opened->keep(name);
        told.steps = kept.data();
        told.count = static_cast<std::int64_t>(kept.size());
        write(solver, told, "solver");
        return APTP_OK;
    });
}
