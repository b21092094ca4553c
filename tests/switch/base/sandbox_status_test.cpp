// SPDX-License-Identifier: MIT
#include "switch/base/sandbox_status.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "switch/base/text.h"

namespace lanyard {
namespace {

using Filter = SandboxStatus::Filter;

TEST(SandboxStatus, IsReadFromWhatTheKernelShows) {
  const auto text = [](const char* capabilities, const char* privileges, const char* seccomp) {
    return fmt::format(
        "Name:\tlanyard-gateway\nCapInh:\t0000000000000000\nCapEff:\t{}\nCapBnd:"
        "\t000001ffffffffff\n"
        "NoNewPrivs:\t{}\nSeccomp:\t{}\nSeccomp_filters:\t1\n",
        capabilities, privileges, seccomp);
  };
  struct {
    std::string text;
    std::optional<SandboxStatus> status;
    std::string sentence;
  } const kCases[]{
      {text("0000000000000000", "1", "2"), SandboxStatus{Filter::filter, true, 0},
       "system calls filtered, no new privileges, no capability"},
      {text("000001ffffffffff", "0", "0"), SandboxStatus{Filter::none, false, 0x1ffffffffff},
       "system calls not filtered, may gain privileges, all capabilities"},
      {text("0000000000001400", "1", "0"), SandboxStatus{Filter::none, true, 0x1400},
       "system calls not filtered, no new privileges, cap_net_bind_service,cap_net_admin"},
      {text("0000000000000000", "1", "3"), std::nullopt, ""},
      {text("zz", "1", "2"), std::nullopt, ""},
      {"Name:\tx\nCapEff:\t0\nNoNewPrivs:\t0\n", std::nullopt, ""},
      {"", std::nullopt, ""},
  };
  for (const auto& c : kCases) {
    const auto status = parse_sandbox_status(c.text);
    EXPECT_EQ(status, c.status) << c.text;
    if (status) {
      EXPECT_EQ(status->text(), c.sentence);
    }
  }
}

TEST(SandboxStatus, NamesCapabilities) {
  EXPECT_EQ(capability_names(0), "none");
  EXPECT_EQ(capability_names(1), "cap_chown");
  EXPECT_EQ(capability_names(0x1ffffffffff), "all");
  EXPECT_EQ(capability_names(std::uint64_t{1} << 40), "cap_checkpoint_restore");
  EXPECT_EQ(capability_names(std::uint64_t{1} << 50), "50") << "of a kernel to come";
}

TEST(SandboxStatus, IsThatOfALivingProcess) {
  ASSERT_TRUE(read_sandbox_status(::getpid()));
  EXPECT_FALSE(read_sandbox_status(0));
  EXPECT_FALSE(read_sandbox_status(::getpid(), "/nowhere"));
}

}  // namespace
}  // namespace lanyard
