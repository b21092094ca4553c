// SPDX-License-Identifier: MIT
//
// Every file in tests/sim/nets is a test.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "tests/sim/net_script.h"

namespace lanyard::testing {
namespace {

std::vector<std::string> scripts() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(LANYARD_NETS)) {
    if (entry.path().extension() == ".net") names.push_back(entry.path().stem());
  }
  std::sort(names.begin(), names.end());
  return names;
}

class RstpNetwork : public ::testing::TestWithParam<std::string> {};

TEST_P(RstpNetwork, DoesWhatItsScriptSays) {
  EXPECT_EQ(run_net_script(std::string(LANYARD_NETS) + "/" + GetParam() + ".net"), "");
}

INSTANTIATE_TEST_SUITE_P(Nets, RstpNetwork, ::testing::ValuesIn(scripts()),
                         [](const auto& tested) { return tested.param; });

}  // namespace
}  // namespace lanyard::testing
