// SPDX-License-Identifier: MIT
#include "switch/daemon/options.h"

#include <gtest/gtest.h>

#include <array>

#include "switch/daemon/networks_options.h"

namespace lanyard {
namespace {

using Action = DaemonOptions::Action;

struct Row {
  const char* text;
  Action action;
  std::uint32_t us;
};

constexpr std::array kRows{
    Row{"0", Action::run, 0},
    Row{"50", Action::run, 50},
    Row{"1000", Action::run, 1000},
    Row{"1001", Action::usage_error, 0},
    Row{"-1", Action::usage_error, 0},
    Row{"", Action::usage_error, 0},
    Row{"fast", Action::usage_error, 0},
};

TEST(OptionsTest, BusyPollIsANumberOfMicroseconds) {
  for (const Row& row : kRows) {
    SCOPED_TRACE(row.text);
    std::string program = "lanyardd";
    std::string option = std::string("--busy-poll=") + row.text;
    std::array<char*, 3> words{program.data(), option.data(), nullptr};
    const DaemonOptions one = parse_options(2, words.data());
    EXPECT_EQ(one.action, row.action);
    if (row.action == Action::run) {
      EXPECT_EQ(one.busy_poll_us, row.us);
    }
    const NetworksOptions many = parse_networks_options(2, words.data());
    EXPECT_EQ(many.action, row.action);
    EXPECT_EQ(many.busy_poll_us, row.us);
  }
}

TEST(OptionsTest, OnlyASwitchAloneLooksOnUnasked) {
  std::string program = "lanyardd";
  std::array<char*, 2> words{program.data(), nullptr};
  EXPECT_EQ(parse_options(1, words.data()).busy_poll_us, BusyPoll::kSwitchUs);
  EXPECT_EQ(parse_networks_options(1, words.data()).busy_poll_us, 0U);
}

}  // namespace
}  // namespace lanyard
