// SPDX-License-Identifier: MIT
#include "switch/host/host_interface.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <cstring>

#include "switch/base/fd.h"
#include "switch/frame/fixed_mac.h"
#include "tests/support/fake_log.h"
#include "tests/support/net_space.h"
#include "tests/support/temporary_directory.h"

namespace lanyard {
namespace {

using lanyard::testing::must;
using lanyard::testing::run;
using lanyard::testing::then_killed;
using ::testing::HasSubstr;
using ::testing::Not;

NetworkConfig host_only() {
  NetworkConfig network;
  network.name = "lab";
  network.kind = NetworkKind::host_only;
  network.subnet = Ipv4Prefix::parse("192.168.56.0/24");
  network.host = HostInterfaceConfig{};
  network.host->name = "lanyard0";
  network.host->address = Ipv4Prefix::parse("192.168.56.1/24");
  network.host->address6 = Ipv6Prefix::parse("fd17::1/64");
  network.host->mtu = 1400;
  return network;
}

UniqueFd open_tun() {
  return UniqueFd(::open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK));
}

// As the tap backend does it. Its device may be root's only, so who has given up being root has
// opened it before.
UniqueFd attach(const char* name, UniqueFd fd = open_tun()) {
  ifreq request{};
  std::strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  request.ifr_flags = IFF_TAP | IFF_NO_PI;
  if (fd && ::ioctl(fd.get(), TUNSETIFF, &request) != 0) fd.reset();
  return fd;
}

std::string shown() {
  return run("ip -d address show dev lanyard0").output;
}

TEST(InterfaceAlias, SaysWhatWasDone) {
  InterfaceAlias alias;
  alias.network = "lab";
  alias.pid = 4711;
  EXPECT_EQ(alias.text(), "lanyard network lab pid 4711");
  alias.made = true;
  alias.added = {"192.168.56.1/24", "up"};
  EXPECT_EQ(alias.text(), "lanyard network lab pid 4711: made added 192.168.56.1/24 up");
}

TEST(InterfaceAlias, ReadsBack) {
  const auto alias = InterfaceAlias::parse("lanyard network lab pid 4711: added mtu=1500 up");
  ASSERT_TRUE(alias);
  EXPECT_EQ(alias->network, "lab");
  EXPECT_EQ(alias->pid, 4711);
  EXPECT_FALSE(alias->made);
  EXPECT_THAT(alias->added, ::testing::ElementsAre("mtu=1500", "up"));
}

TEST(InterfaceAlias, OthersAreNotOurs) {
  for (const char* const text :
       {"", "to the server", "lanyard network ", "lanyard network lab", "lanyard network lab pid",
        "lanyard network lab pid x", "lanyard network lab pid 0", "lanyard network lab pid -3",
        "lanyard network  pid"}) {
    EXPECT_FALSE(InterfaceAlias::parse(text)) << text;
  }
}

// Each in a network namespace of its own.
class HostInterfaceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string why = lanyard::testing::enter_own_namespace(); !why.empty()) {
      GTEST_SKIP() << why;
    }
    if (!attach("probe0")) GTEST_SKIP() << "no TAP interfaces here";
  }

  // claim, attach, set_up.
  std::unique_ptr<HostInterface> bring(const NetworkConfig& network) {
    auto claimed = HostInterface::claim(network, log_);
    EXPECT_TRUE(claimed) << claimed.error().text;
    tap_ = attach(network.host->name.c_str());
    EXPECT_TRUE(tap_);
    const Result<void> done = claimed.value()->set_up();
    EXPECT_TRUE(done) << done.error().text;
    return claimed.take();
  }

  lanyard::testing::FakeLog log_;
  UniqueFd tap_;
};

TEST_F(HostInterfaceTest, HasAddressesMtuAndAliasAndIsUp) {
  const auto interface = bring(host_only());
  const std::string text = shown();
  EXPECT_THAT(text, HasSubstr("inet 192.168.56.1/24 brd 192.168.56.255"));
  EXPECT_THAT(text, HasSubstr("inet6 fd17::1/64 scope global nodad"));
  EXPECT_THAT(text, HasSubstr("mtu 1400"));
  EXPECT_THAT(text, HasSubstr("alias lanyard network lab pid "));
  EXPECT_THAT(text, HasSubstr("LOWER_UP"));
  EXPECT_EQ(lanyard::testing::content_of("/proc/sys/net/ipv6/conf/lanyard0/accept_ra"), "0\n");
}

TEST_F(HostInterfaceTest, IsGoneWithItsDescriptor) {
  auto interface = bring(host_only());
  interface.reset();
  EXPECT_THAT(shown(), Not(HasSubstr("192.168.56.1")));
  EXPECT_THAT(shown(), Not(HasSubstr("alias")));
  tap_.reset();
  EXPECT_THAT(shown(), HasSubstr("does not exist"));
}

TEST_F(HostInterfaceTest, APreparedOneThatIsRightIsNotTouched) {
  must("ip tuntap add dev lanyard0 mode tap");
  must("ip address add 192.168.56.1/24 dev lanyard0");
  must("ip address add fd17::1/64 dev lanyard0 nodad");
  must("ip link set lanyard0 mtu 1400 alias mine up");
  auto interface = bring(host_only());
  EXPECT_THAT(shown(), HasSubstr("alias mine"));
  interface.reset();
  tap_.reset();
  EXPECT_THAT(shown(), HasSubstr("alias mine"));
  EXPECT_THAT(shown(), HasSubstr("inet 192.168.56.1/24"));
  EXPECT_THAT(shown(), HasSubstr("UP"));
}

TEST_F(HostInterfaceTest, OfAPreparedOneOnlyWhatWasAddedIsTakenAway) {
  must("ip tuntap add dev lanyard0 mode tap");
  must("ip address add 192.168.56.1/24 dev lanyard0");
  auto interface = bring(host_only());
  EXPECT_THAT(shown(), HasSubstr("added mtu=1500 fd17::1/64 up"));
  interface.reset();
  tap_.reset();
  EXPECT_THAT(shown(), HasSubstr("mtu 1500"));
  EXPECT_THAT(shown(), HasSubstr("inet 192.168.56.1/24"));
  EXPECT_THAT(shown(), Not(HasSubstr("fd17::1")));
  EXPECT_THAT(shown(), Not(HasSubstr("alias")));
  EXPECT_THAT(shown(), HasSubstr("state DOWN"));
}

TEST_F(HostInterfaceTest, WithAnOwnerItIsPersistentUntilTheEnd) {
  NetworkConfig network = host_only();
  network.host->owner = "nobody";
  auto interface = bring(network);
  EXPECT_THAT(shown(), HasSubstr("user nobody"));
  EXPECT_THAT(shown(), HasSubstr(fixed_mac("lanyard0").text()));
  interface.reset();
  EXPECT_THAT(shown(), HasSubstr("does not exist"));
}

TEST_F(HostInterfaceTest, WhatACrashLeftOfOneWithAnOwnerIsCleared) {
  NetworkConfig network = host_only();
  network.host->owner = "nobody";
  ASSERT_TRUE(then_killed([&] { return bring(network).release() != nullptr; }));
  ASSERT_THAT(shown(), HasSubstr("192.168.56.1/24"));
  auto interface = bring(network);
  EXPECT_THAT(shown(), HasSubstr(fmt::format("lab pid {}: made", ::getpid())));
  interface.reset();
  EXPECT_THAT(shown(), HasSubstr("does not exist"));
}

TEST_F(HostInterfaceTest, WhatACrashLeftOnAPreparedOneIsUndone) {
  must("ip tuntap add dev lanyard0 mode tap");
  must("ip address add 192.168.56.1/24 dev lanyard0");
  ASSERT_TRUE(then_killed([&] { return bring(host_only()).release() != nullptr; }));
  ASSERT_THAT(shown(), HasSubstr("fd17::1/64"));
  HostInterface::clean_up(log_);
  EXPECT_THAT(shown(), Not(HasSubstr("fd17::1/64")));
  EXPECT_THAT(shown(), HasSubstr("192.168.56.1/24"));
  EXPECT_THAT(shown(), Not(HasSubstr("alias")));
  EXPECT_THAT(shown(), HasSubstr("mtu 1500"));
}

TEST_F(HostInterfaceTest, WithoutAnOwnerACrashLeavesNothing) {
  ASSERT_TRUE(then_killed([&] { return bring(host_only()).release() != nullptr; }));
  EXPECT_THAT(shown(), HasSubstr("does not exist"));
}

TEST_F(HostInterfaceTest, AnOverlapIsRefusedWithItsName) {
  must("ip link add vboxnet0 type veth peer name other");
  must("ip address add 192.168.48.1/20 dev vboxnet0");
  const auto refused = HostInterface::claim(host_only(), log_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, EEXIST);
  EXPECT_THAT(refused.error().text,
              HasSubstr("192.168.56.0/24 overlaps address 192.168.48.1/20 dev vboxnet0"));
}

TEST_F(HostInterfaceTest, AnInterfaceThatIsNoTapIsRefused) {
  must("ip link add lanyard0 type veth peer name other");
  const auto refused = HostInterface::claim(host_only(), log_);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().text, HasSubstr("no TAP interface"));
}

TEST_F(HostInterfaceTest, OneThatServesALivingProcessIsRefused) {
  const auto interface = bring(host_only());
  must("ip link set lanyard0 alias 'lanyard network lab pid 1'");
  const auto refused = HostInterface::claim(host_only(), log_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, EBUSY);
  EXPECT_THAT(refused.error().text, HasSubstr("process 1"));
}

TEST_F(HostInterfaceTest, WithoutRightsItSaysWhatToPrepare) {
  must("ip tuntap add dev lanyard0 mode tap user nobody");
  ASSERT_TRUE(then_killed([&] {
    UniqueFd tun = open_tun();
    if (::setuid(65534) != 0) return false;
    auto claimed = HostInterface::claim(host_only(), log_);
    EXPECT_TRUE(claimed) << claimed.error().text;
    const UniqueFd tap = attach("lanyard0", std::move(tun));
    EXPECT_TRUE(tap) << std::strerror(errno);
    const Result<void> done = claimed.value()->set_up();
    return !done && done.error().code == EPERM &&
           done.error().text.find("ip address add 192.168.56.1/24 dev lanyard0") !=
               std::string::npos;
  }));
}

TEST_F(HostInterfaceTest, APreparedOneNeedsNoRight) {
  must("ip tuntap add dev lanyard0 mode tap user nobody");
  must("ip address add 192.168.56.1/24 dev lanyard0");
  must("ip address add fd17::1/64 dev lanyard0 nodad");
  must("ip link set lanyard0 mtu 1400 up");
  EXPECT_TRUE(then_killed([&] {
    UniqueFd tun = open_tun();
    if (::setuid(65534) != 0) return false;
    auto claimed = HostInterface::claim(host_only(), log_);
    EXPECT_TRUE(claimed) << claimed.error().text;
    const UniqueFd tap = attach("lanyard0", std::move(tun));
    EXPECT_TRUE(tap) << std::strerror(errno);
    return tap && claimed.value()->set_up().ok();
  }));
}

}  // namespace
}  // namespace lanyard
