#include <doctest/doctest.h>

#include "models/router_output.hpp"

TEST_CASE("the best code wins, by the margin over every other") {
    const float similarity[] = {0.25F, 0.75F, 0.5F};
    const aptp::RouterOutput route = aptp::choose_code(similarity, 3, 1e-5);
    CHECK(route.code == 1);
    CHECK(route.margin == 0.25);
    CHECK_FALSE(route.distance);
}

TEST_CASE("within the tie the lowest code wins, and its margin is that of the best") {
    const float similarity[] = {0.5F, 0.7499F, 0.75F};
    const aptp::RouterOutput route = aptp::choose_code(similarity, 3, 0.001);
    CHECK(route.code == 1);
    CHECK(*route.margin == static_cast<double>(0.75F - 0.7499F));
    CHECK(*aptp::choose_code(similarity, 3, 0).margin >= 0);
    CHECK(aptp::choose_code(similarity, 3, 0).code == 2);
}

TEST_CASE("equals have no margin, and one code alone has none to tell") {
    const float same[] = {0.5F, 0.5F};
    CHECK(aptp::choose_code(same, 2, 0).code == 0);
    CHECK(aptp::choose_code(same, 2, 0).margin == 0.0);
    CHECK_FALSE(aptp::choose_code(same, 1, 0).margin);
}

TEST_CASE("a prompt above the threshold goes where the manifest says") {
    aptp::RouterEntry entry;
    aptp::RouterOutput route{2, 0.1, 1.75};
    CHECK(aptp::wanted(entry, route) == std::pair<std::string, bool>("2", false));
    entry.out_of_distribution = aptp::OutOfDistribution{1.5, "dense"};
    CHECK(aptp::wanted(entry, route) == std::pair<std::string, bool>("dense", true));
    route.distance = 1.5;  // not above
    CHECK(aptp::wanted(entry, route) == std::pair<std::string, bool>("2", false));
    route.distance = std::nullopt;
    CHECK(aptp::wanted(entry, route) == std::pair<std::string, bool>("2", false));
}
