// SPDX-License-Identifier: MIT
#include <gmock/gmock.h>

#include "tests/support/fake_plugin_host.h"

namespace lanyard {
namespace {

using testing::Bytes;
using ::testing::ElementsAre;
using testing::FakePluginHost;
using ::testing::IsEmpty;

struct Iplog : FakePluginHost {
  Iplog() : FakePluginHost(LANYARD_PLUGINS "/iplog.so") {
    run("iplog/ipadd 10.0.0.0/8");
    run("iplog/ipadd fd00::/8");
    users[1] = 0;
  }
};

void append(Bytes& to, const Bytes& more) {
  to.insert(to.end(), more.begin(), more.end());
}

// From 02:00:00:00:00:a1, with that many tags.
Bytes head(std::uint16_t type, int tags = 0) {
  Bytes bytes(6, 0xff);
  append(bytes, {2, 0, 0, 0, 0, 0xa1});
  for (int i = 0; i < tags; ++i) append(bytes, {0x81, 0, 0, static_cast<std::uint8_t>(7 + i)});
  append(bytes, {static_cast<std::uint8_t>(type >> 8), static_cast<std::uint8_t>(type)});
  return bytes;
}

// An IPv4 header from 10.1.2.3 with that many words of options.
Bytes ipv4(std::uint8_t options = 0) {
  Bytes bytes(20 + 4U * options);
  bytes[0] = static_cast<std::uint8_t>(0x45 + options);
  bytes[12] = 10;
  bytes[13] = 1;
  bytes[14] = 2;
  bytes[15] = 3;
  return bytes;
}

Bytes ipv6() {
  Bytes bytes(40);
  bytes[0] = 0x60;
  bytes[8] = 0xfd;
  bytes[23] = 0x11;
  return bytes;
}

Bytes joined(Bytes first, const Bytes& second) {
  append(first, second);
  return first;
}

TEST(Iplog, LogsAnAddressOnceAndWhenItMoves) {
  Iplog iplog;
  const Bytes packet = joined(head(0x0800), ipv4());
  iplog.give(1, LANYARD_INGRESS, {packet, packet});
  EXPECT_THAT(
      iplog.told(),
      ElementsAre("ipv4 10.1.2.3 mac=02:00:00:00:00:a1 port=1 vlan=0 user=root \"somebody\""));
  iplog.give(2, LANYARD_INGRESS, {packet});
  EXPECT_EQ(iplog.told().size(), 2U);
  iplog.run("iplog/iplist");
  EXPECT_THAT(iplog.reply(), ElementsAre("ipv4 10.1.2.3 port=2 user=NONE"));
  iplog.run("iplog/ipport 1");
  EXPECT_THAT(iplog.reply(), IsEmpty());
  iplog.run("iplog/ipsearch 10.1.2.3");
  EXPECT_EQ(iplog.reply().size(), 1U);
}

TEST(Iplog, ReadsOptionsTagsIpv6AndArp) {
  struct Row {
    const char* what;
    Bytes frame;
    const char* start;
  };
  Bytes arp(28);
  arp[1] = 1;
  arp[2] = 8;
  arp[4] = 6;
  arp[5] = 4;
  arp[14] = 10;
  arp[17] = 9;
  for (const Row& row :
       {Row{"options", joined(head(0x0800), ipv4(10)), "ipv4 10.1.2.3 mac=02:00:00:00:00:a1"},
        Row{"a tag", joined(head(0x0800, 1), ipv4()),
            "ipv4 10.1.2.3 mac=02:00:00:00:00:a1 port=1 vlan=7"},
        Row{"two tags", joined(head(0x86dd, 2), ipv6()),
            "ipv6 fd00::11 mac=02:00:00:00:00:a1 port=1 vlan=7"},
        Row{"ARP", joined(head(0x0806), arp), "ipv4 10.0.0.9 mac=02:00:00:00:00:a1"}}) {
    Iplog iplog;
    iplog.give(1, LANYARD_INGRESS, {row.frame});
    ASSERT_EQ(iplog.told().size(), 1U) << row.what;
    EXPECT_TRUE(iplog.told()[0].starts_with(row.start)) << row.what << ": " << iplog.told()[0];
  }
}

TEST(Iplog, PassesOverWhatIsCutShortOrLies) {
  Iplog iplog;
  for (const Bytes& whole :
       {joined(head(0x0800), ipv4(3)), joined(head(0x86dd, 3), ipv6()), head(0x0806)}) {
    for (std::size_t size = 0; size < whole.size(); ++size) {
      iplog.give(1, LANYARD_INGRESS,
                 {Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size))});
    }
  }
  Bytes version = joined(head(0x0800), ipv4());
  version[14] = 0x65;
  Bytes short_header = joined(head(0x0800), ipv4());
  short_header[14] = 0x44;
  iplog.give(1, LANYARD_INGRESS, {version, short_header});
  EXPECT_THAT(iplog.told(), IsEmpty());
}

TEST(Iplog, KeepsOnlyWhatIsInItsRanges) {
  Iplog iplog;
  EXPECT_EQ(iplog.run("iplog/ipdel 10.0.0.0/8"), 0);
  iplog.give(1, LANYARD_INGRESS, {joined(head(0x0800), ipv4())});
  EXPECT_THAT(iplog.told(), IsEmpty());
  EXPECT_EQ(iplog.run("iplog/ipadd 10.1.2.0/23"), 0);
  iplog.give(1, LANYARD_INGRESS, {joined(head(0x0800), ipv4())});
  EXPECT_EQ(iplog.told().size(), 1U);
  EXPECT_EQ(iplog.run("iplog/ipadd 10.1.3.7/23"), -EEXIST);
  EXPECT_EQ(iplog.run("iplog/ipdel 10.9.0.0/23"), -ENOENT);
  EXPECT_EQ(iplog.run("iplog/ipadd 10.1/33"), -EINVAL);
  iplog.run("iplog/list");
  EXPECT_THAT(iplog.reply(), ElementsAre("  ipv6: fd00::/8", "  ipv4: 10.1.2.0/23"));
}

TEST(Iplog, ForgetsWhatIsSilent) {
  Iplog iplog;
  iplog.run("iplog/setexpire 100");
  iplog.give(1, LANYARD_INGRESS, {joined(head(0x0800), ipv4())});
  iplog.advance(90'000'000'000);
  iplog.run("iplog/iplist");
  EXPECT_EQ(iplog.reply().size(), 1U);
  iplog.advance(30'000'000'000);
  iplog.run("iplog/iplist");
  EXPECT_THAT(iplog.reply(), IsEmpty());
}

}  // namespace
}  // namespace lanyard
