// SPDX-License-Identifier: MIT
#include "switch/host/forwarding.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <vector>

#include "tests/support/fake_log.h"
#include "tests/support/killed_child.h"
#include "tests/support/temporary_directory.h"

namespace lanyard {
namespace {

namespace fs = std::filesystem;

using lanyard::testing::content_of;

// A /proc of a test's own: settings, this process, and one that is gone.
class ForwardingTest : public ::testing::Test {
 protected:
  void SetUp() override {
    set("net/ipv4/ip_forward", "0");
    set("net/ipv6/conf/all/forwarding", "0");
    set("net/ipv6/conf/eth0/forwarding", "0");
    set("net/ipv6/conf/eth0/accept_ra", "1");
    set("kernel/random/boot_id", "boot-1");
    process(::getpid(), 100);
  }

  void set(const std::string& name, const std::string& value) {
    const fs::path path = directory_ / "sys/" + name;
    fs::create_directories(path.parent_path());
    std::ofstream(path) << value << "\n";
  }
  std::string get(const std::string& name) {
    std::string text = content_of(directory_ / "sys/" + name);
    text.erase(text.find_last_not_of('\n') + 1);
    return text;
  }

  void process(long pid, int started) {
    fs::create_directories(directory_ / std::to_string(pid));
    std::string stat = fmt::format("{} (a) b) S", pid);
    for (int field = 4; field < 22; ++field) stat += " 0";
    std::ofstream(directory_ / std::to_string(pid) + "/stat") << stat << " " << started << " 0\n";
  }

  // All other processes are gone.
  void leave_alone() {
    for (const auto& entry : fs::directory_iterator(directory_.path())) {
      const std::string name = entry.path().filename().string();
      if (name != "sys" && name != std::to_string(::getpid())) fs::remove_all(entry.path());
    }
  }

  std::unique_ptr<Forwarding> acquire(const std::string& network, bool ipv6 = false) {
    auto made = Forwarding::acquire(place(), network, ipv6, log_);
    EXPECT_TRUE(made) << made.error().text;
    return made ? made.take() : nullptr;
  }
  ForwardingPlace place() { return {directory_.path(), state_.path()}; }

  void TearDown() override {
    for (Forwarding* const one : crashed_) delete one;
  }

  // This process ends, its holdings stay: another one with its number would not be it.
  void crash(std::unique_ptr<Forwarding> held) {
    crashed_.push_back(held.release());
    process(::getpid(), ++started_);
  }

  lanyard::testing::TemporaryDirectory directory_;
  lanyard::testing::TemporaryDirectory state_;
  lanyard::testing::FakeLog log_;
  int started_ = 100;
  // Destroyed when the test is over: that gives back what they hold.
  std::vector<Forwarding*> crashed_;
};

TEST_F(ForwardingTest, IsOnWhileHeldAndThenAsItWas) {
  auto held = acquire("lab");
  EXPECT_EQ(get("net/ipv4/ip_forward"), "1");
  EXPECT_EQ(get("net/ipv6/conf/all/forwarding"), "0");
  held.reset();
  EXPECT_EQ(get("net/ipv4/ip_forward"), "0");
}

TEST_F(ForwardingTest, WhatWasOnStaysOn) {
  set("net/ipv4/ip_forward", "1");
  acquire("lab").reset();
  EXPECT_EQ(get("net/ipv4/ip_forward"), "1");
}

TEST_F(ForwardingTest, TheLastOfTwoPutsItBack) {
  auto one = acquire("one");
  auto two = acquire("two");
  one.reset();
  EXPECT_EQ(get("net/ipv4/ip_forward"), "1");
  two.reset();
  EXPECT_EQ(get("net/ipv4/ip_forward"), "0");
}

TEST_F(ForwardingTest, AHostThatForwardsIpv6KeepsItsDefaultRoute) {
  auto held = acquire("lab", true);
  EXPECT_EQ(get("net/ipv6/conf/all/forwarding"), "1");
  EXPECT_EQ(get("net/ipv6/conf/eth0/accept_ra"), "2");
  held.reset();
  EXPECT_EQ(get("net/ipv6/conf/all/forwarding"), "0");
  EXPECT_EQ(get("net/ipv6/conf/eth0/accept_ra"), "1");
}

TEST_F(ForwardingTest, WhatSomebodyElseChangedMeanwhileStays) {
  auto held = acquire("lab", true);
  set("net/ipv6/conf/eth0/accept_ra", "0");
  held.reset();
  EXPECT_EQ(get("net/ipv6/conf/eth0/accept_ra"), "0");
}

TEST_F(ForwardingTest, ACrashDoesNotForgetWhatItWas) {
  crash(acquire("lab"));
  auto held = acquire("lab");  // finds 1, and knows better
  held.reset();
  EXPECT_EQ(get("net/ipv4/ip_forward"), "0");
}

TEST_F(ForwardingTest, CleanUpPutsBackWhatACrashLeft) {
  crash(acquire("lab"));
  EXPECT_EQ(get("net/ipv4/ip_forward"), "1");
  Forwarding::clean_up(place(), log_);
  EXPECT_EQ(get("net/ipv4/ip_forward"), "0");
  Forwarding::clean_up(place(), log_);
}

TEST_F(ForwardingTest, CleanUpPutsBackWhatAKillAtAnyMomentLeft) {
  bool killed = true;
  for (int calls = 0; killed; ++calls) {
    ASSERT_LT(calls, 1000) << "there is no end of calls";
    set("net/ipv4/ip_forward", "0");
    set("net/ipv6/conf/all/forwarding", "0");
    set("net/ipv6/conf/eth0/accept_ra", "1");
    // A process of another number than its own: that one is gone afterwards.
    killed = lanyard::testing::dies_before_call(calls, [&] {
      process(::getpid(), 100);
      static_cast<void>(acquire("lab", true).release());
    });
    leave_alone();
    Forwarding::clean_up(place(), log_);
    EXPECT_EQ(get("net/ipv4/ip_forward"), "0") << "before call " << calls;
    EXPECT_EQ(get("net/ipv6/conf/all/forwarding"), "0") << "before call " << calls;
    EXPECT_EQ(get("net/ipv6/conf/eth0/accept_ra"), "1") << "before call " << calls;
  }
}

TEST_F(ForwardingTest, CleanUpLeavesTheLivingAlone) {
  auto held = acquire("lab");
  Forwarding::clean_up(place(), log_);
  EXPECT_EQ(get("net/ipv4/ip_forward"), "1");
}

TEST_F(ForwardingTest, AnotherBootIsForgotten) {
  crash(acquire("lab"));
  set("kernel/random/boot_id", "boot-2");
  set("net/ipv4/ip_forward", "1");  // by sysctl.conf
  acquire("lab").reset();
  EXPECT_EQ(get("net/ipv4/ip_forward"), "1");
}

TEST_F(ForwardingTest, ADamagedFileIsNone) {
  auto held = acquire("lab");
  for (const auto& entry : fs::directory_iterator(state_.path())) {
    if (entry.path().extension() != ".json") continue;
    for (const char* const text : {"", "{", "[]", "{\"boot\":\"boot-1\"}",
                                   "{\"boot\":\"boot-1\",\"changes\":[3],\"holders\":{}}"}) {
      std::ofstream(entry.path()) << text;
      Forwarding::clean_up(place(), log_);
      std::ofstream(entry.path()) << text;
      acquire("other").reset();
    }
  }
}

TEST_F(ForwardingTest, WhatCannotBeWrittenIsAnErrorAndNothingIsHeld) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may write everything";
  fs::permissions(directory_ / "sys/net/ipv4/ip_forward", fs::perms::owner_read);
  const auto made = Forwarding::acquire(place(), "lab", false, log_);
  ASSERT_FALSE(made);
  EXPECT_THAT(made.error().text, ::testing::HasSubstr("CAP_NET_ADMIN"));
}

}  // namespace
}  // namespace lanyard
