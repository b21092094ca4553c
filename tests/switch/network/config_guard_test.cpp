// SPDX-License-Identifier: MIT
//
// network.NAME.guard: what follows from nothing, what is said, and what is wrong with it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "switch/network/config_file.h"

namespace lanyard {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

GuardConfig guard_of(const std::string& text) {
  const ConfigOutcome outcome = parse_config(text, "test");
  for (const ConfigProblem& problem : outcome.problems) ADD_FAILURE() << problem.message();
  return outcome.configuration.networks.at(0).guard;
}

TEST(ConfigGuard, StartsSane) {
  struct Row {
    std::string text;
    bool dhcp, ra;
  };
  const Row rows[] = {
      {"[network.a]\nkind = 'nat'\n", true, true},
      {"[network.a]\nkind = 'nat'\ndhcp.enabled = false\n", false, true},
      {"[network.a]\nkind = 'nat'\nguard.dhcp_guard = false\nguard.ra_guard = false\n", false,
       false},
      {"[network.a]\nkind = 'internal'\n", false, false},
      {"[network.a]\nkind = 'host-only'\n", false, false},
  };
  for (const Row& row : rows) {
    const GuardConfig guard = guard_of(row.text);
    EXPECT_EQ(guard.guests.dhcp_guard, row.dhcp) << row.text;
    EXPECT_EQ(guard.guests.ra_guard, row.ra) << row.text;
    EXPECT_EQ(guard.guests.max_macs, 1024U) << row.text;
    EXPECT_EQ(guard.guests.broadcast_pps, 10000U) << row.text;
    EXPECT_FALSE(guard.guests.trusted) << row.text;
  }
}

TEST(ConfigGuard, IsReadAndWrittenBack) {
  const std::string text = R"(
[network.a]
kind = "internal"
guard.isolated = true
guard.promiscuous = "allow-vms"
guard.max_macs = 1
guard.sticky = true
guard.rate_in = "20m"
guard.bandwidth_group = "slow"
guard.trusted = "tap"

[[network.a.socket]]
path = "a"
trusted = true

[[network.a.guard.group]]
name = "slow"
rate = "5M"

[[network.a.guard.binding]]
mac = "52:54:00:00:00:01"
address = "10.0.0.1"
)";
  const GuardConfig guard = guard_of(text);
  EXPECT_TRUE(guard.guests.isolated);
  EXPECT_EQ(guard.guests.promiscuous, PromiscuousPolicy::allow_vms);
  EXPECT_EQ(guard.guests.rate_in.per_second, 2'500'000U);
  EXPECT_THAT(guard.trusted, ElementsAre("tap"));
  ASSERT_EQ(guard.groups.size(), 1U);
  EXPECT_EQ(guard.groups[0].rate.per_second, 5'000'000U);
  ASSERT_EQ(guard.bindings.size(), 1U);
  const ConfigOutcome first = parse_config(text, "test");
  const ConfigOutcome again = parse_config(config_text(first.configuration), "again");
  EXPECT_EQ(again.configuration, first.configuration);
}

TEST(ConfigGuard, SaysWhatIsWrong) {
  struct Row {
    std::string line, complaint;
  };
  const Row rows[] = {
      {"guard.promiscuous = \"all\"", "deny, allow-vms or allow-all"},
      {"guard.rate_in = \"fast\"", "is not a rate"},
      {"guard.sticky = true\nguard.max_macs = 0", "sticky needs max_macs"},
      {"guard.bandwidth_group = \"slow\"", "there is no group 'slow'"},
      {"guard.isolatd = true", "isolated"},
      {"guard.group = [{ name = \"a b\" }]", "cannot be a bandwidth group's name"},
      {"guard.binding = [{ mac = \"52:54:00:00:00:01\" }]", "a binding needs an address"},
  };
  for (const Row& row : rows) {
    const ConfigOutcome outcome =
        parse_config("[network.a]\nkind = 'internal'\n" + row.line + "\n", "test");
    ASSERT_FALSE(outcome.problems.empty()) << row.line;
    EXPECT_THAT(outcome.problems.front().message(), HasSubstr(row.complaint)) << row.line;
  }
}

}  // namespace
}  // namespace lanyard
