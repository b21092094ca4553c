// SPDX-License-Identifier: MIT
#include <gmock/gmock.h>

#include "tests/support/fake_plugin_host.h"

namespace lanyard {
namespace {

using testing::Bytes;
using testing::FakePluginHost;
using testing::frame;
using testing::kAlice;
using testing::kBob;
using testing::WireFrame;

struct Acl : FakePluginHost {
  Acl() : FakePluginHost(LANYARD_PLUGINS "/acl.so") {}
  bool passes(const WireFrame& wire, std::uint16_t port = 1, int direction = LANYARD_INGRESS) {
    const std::size_t before = arrived.size();
    give(port, direction, {wire.bytes});
    return arrived.size() == before + 1;
  }
};

TEST(Acl, AllowsAllWithoutRules) {
  Acl acl;
  EXPECT_TRUE(acl.passes(frame().from(kAlice)));
  acl.run("acl/default deny");
  EXPECT_FALSE(acl.passes(frame().from(kAlice)));
}

TEST(Acl, TheFirstRuleThatFitsDecides) {
  Acl acl;
  EXPECT_EQ(acl.run("acl/add allow src 02:00:00:00:00:a1"), 0);
  EXPECT_EQ(acl.run("acl/add deny src 02:00:00:00:00:00/40"), 0);
  EXPECT_TRUE(acl.passes(frame().from(kAlice)));
  EXPECT_FALSE(acl.passes(frame().from(kBob)));
  EXPECT_EQ(acl.run("acl/del 1"), 0);
  EXPECT_FALSE(acl.passes(frame().from(kAlice)));
  EXPECT_EQ(acl.run("acl/del"), 0);
  EXPECT_TRUE(acl.passes(frame().from(kAlice)));
}

TEST(Acl, LooksAtDestinationTypeVlanPortAndDirection) {
  Acl acl;
  Bytes tagged = WireFrame(frame().from(kAlice).to(kBob)).bytes;
  const std::vector<std::uint8_t> tag{0x81, 0x00, 0x00, 0x07};
  tagged.insert(tagged.begin() + 12, tag.begin(), tag.end());
  acl.run("acl/add deny vlan 7");
  EXPECT_FALSE(acl.passes(WireFrame{tagged}));
  EXPECT_TRUE(acl.passes(frame().from(kAlice)));
  acl.run("acl/add deny dst 02:00:00:00:00:b2 port 3 in");
  EXPECT_FALSE(acl.passes(frame().to(kBob), 3));
  EXPECT_TRUE(acl.passes(frame().to(kBob), 4));
  EXPECT_TRUE(acl.passes(frame().to(kBob), 3, LANYARD_EGRESS));
  acl.run("acl/del");
  WireFrame arp = frame().from(kAlice);
  arp.bytes[12] = 0x08;
  arp.bytes[13] = 0x06;
  acl.run("acl/add deny type arp");
  EXPECT_FALSE(acl.passes(arp));
}

TEST(Acl, RefusesWhatIsNoRule) {
  Acl acl;
  for (const char* const line :
       {"acl/add", "acl/add maybe", "acl/add deny src", "acl/add deny src 02:00:00:00:00",
        "acl/add deny src 02:00:00:00:00:a1/49", "acl/add deny vlan 5000",
        "acl/add deny colour red", "acl/add deny type arp type ip6", "acl/add deny in out",
        "acl/add deny src 02:00:00:00:00:a1 src 02:00:00:00:00:b2",
        "acl/add deny src +2:00:00:00:00:a1", "acl/add deny type 0x10000", "acl/del 0", "acl/del x",
        "acl/default perhaps"}) {
    EXPECT_EQ(acl.run(line), -EINVAL) << line;
  }
  EXPECT_EQ(acl.run("acl/del 1"), -ENOENT);
}

TEST(Acl, ListsRulesAndHowOftenTheyDecided) {
  Acl acl;
  acl.run("acl/add   deny  type 0x0806");
  EXPECT_TRUE(acl.passes(frame().from(kAlice)));
  EXPECT_EQ(acl.run("acl/list"), 0);
  ASSERT_EQ(acl.reply().size(), 2U);
  EXPECT_TRUE(acl.reply()[0].starts_with("   1 deny type 0x0806"));
  EXPECT_TRUE(acl.reply()[1].starts_with("else allow"));
  EXPECT_TRUE(acl.reply()[1].ends_with(" 1"));
}

}  // namespace
}  // namespace lanyard
