// SPDX-License-Identifier: MIT
#include "switch/daemon/confinement.h"

#include <linux/capability.h>
#include <sys/stat.h>

#include "switch/base/sandbox_probe.h"
#include "tests/support/boxed_child.h"
#include "tests/support/temporary_directory.h"

namespace lanyard {
namespace {

constexpr std::uint64_t kNetAdmin = std::uint64_t{1} << CAP_NET_ADMIN;

class SwitchConfinement : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!testing::kSandboxCanBeTested) GTEST_SKIP() << "a sanitizer makes calls of its own";
    options_.directory = directory_ / "net";
    ::mkdir(options_.directory.c_str(), 0700);
  }

  testing::TemporaryDirectory directory_;
  DaemonOptions options_;
};

TEST_F(SwitchConfinement, RefusesWhatAnIntruderWouldTryAndTheInternet) {
  options_.taps = {"tap0"};
  const testing::ChildEnd end = testing::in_child([&] {
    const auto report = enter_sandbox(switch_sandbox(options_), SandboxMode::refuse);
    if (!report) return report.error().text;
    const auto outcomes = probe_sandbox(ProbeNetwork::none);
    return all_refused(outcomes) ? std::string("all refused") : probe_text(outcomes);
  });
  EXPECT_EQ(end.said, "all refused") << end.status;
}

TEST_F(SwitchConfinement, KeepsCapNetAdminForTapsAlone) {
  EXPECT_EQ(switch_sandbox(options_).capabilities & kNetAdmin, 0U);
  options_.plugs = {"tap://tap0"};
  EXPECT_EQ(switch_sandbox(options_).capabilities & kNetAdmin, kNetAdmin);
}

}  // namespace
}  // namespace lanyard
