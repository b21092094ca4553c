// SPDX-License-Identifier: MIT
#include "backend/gateway/frame_sanitiser.h"

#include <gtest/gtest.h>

#include <functional>

#include "tests/support/nat_world.h"

namespace lanyard::testing {
namespace {

struct Gate {
  NatCounters counters;
  FrameSanitiser sanitiser{Ipv4Prefix::parse("10.0.2.0/24"), Ipv6Prefix::parse("fd00:2::/64"),
                           counters};
};

PacketRecipe good(bool v6 = false) {
  PacketRecipe recipe;
  recipe.source = v6 ? kGuest6 : kGuest4;
  recipe.destination = v6 ? addr("2001:db8::1") : addr("192.0.2.1");
  recipe.payload = numbered_bytes(101);
  return recipe;
}

void fix_ip_checksum(Octets& frame) {
  store_u16(frame, 24, 0);
  store_u16(frame, 24, internet_checksum(std::span(frame).subspan(14, 20)));
}

TEST(FrameSanitiser, LetsPlainPacketsPassUnchanged) {
  for (const bool v6 : {false, true}) {
    for (const std::uint8_t protocol : {kIpProtocolTcp, kIpProtocolUdp}) {
      Gate gate;
      PacketRecipe recipe = good(v6);
      recipe.protocol = protocol;
      Octets frame = recipe.frame();
      const Octets before = frame;
      const auto packet = gate.sanitiser.check(frame, {});
      ASSERT_TRUE(packet);
      EXPECT_TRUE(frame == before);
      EXPECT_EQ(packet->payload_size(), 101U);
      EXPECT_EQ(address_of(packet->key.guest), recipe.source);
      EXPECT_EQ(address_of(packet->key.target), recipe.destination);
      EXPECT_EQ(packet->key.guest_port, 40000);
      EXPECT_EQ(packet->key.target_port, 80);
    }
  }
}

struct Row {
  const char* name;
  NatEvent reason;
  bool v6;
  std::function<void(Octets&)> spoil;
};

const Row kRows4[] = {
    {"no Ethernet header", NatEvent::too_short, false, [](Octets& f) { f.resize(13); }},
    {"NC-SI", NatEvent::not_ip, false, [](Octets& f) { store_u16(f, 12, 0x88f8); }},
    {"a VLAN tag", NatEvent::not_ip, false, [](Octets& f) { store_u16(f, 12, 0x8100); }},
    {"half an IPv4 header", NatEvent::bad_header, false, [](Octets& f) { f.resize(24); }},
    {"version 6 in IPv4", NatEvent::bad_header, false, [](Octets& f) { f[14] = 0x65; }},
    {"header of 16", NatEvent::bad_header, false, [](Octets& f) { f[14] = 0x44; }},
    {"longer than the frame", NatEvent::bad_length, false,
     [](Octets& f) { store_u16(f, 16, 2000); }},
    {"shorter than its header", NatEvent::bad_length, false,
     [](Octets& f) { store_u16(f, 16, 19); }},
    {"IP options", NatEvent::ip_options, false, [](Octets& f) { f[14] = 0x46; }},
    {"IP checksum", NatEvent::bad_checksum, false, [](Octets& f) { f[24] ^= 1; }},
    {"first fragment", NatEvent::fragment, false,
     [](Octets& f) {
       store_u16(f, 20, 0x2000);
       fix_ip_checksum(f);
     }},
    {"later fragment", NatEvent::fragment, false,
     [](Octets& f) {
       store_u16(f, 20, 5);
       fix_ip_checksum(f);
     }},
    {"somebody's address", NatEvent::foreign_source, false,
     [](Octets& f) {
       f[26] = 192;
       fix_ip_checksum(f);
     }},
    {"broadcast source", NatEvent::foreign_source, false,
     [](Octets& f) {
       f[29] = 255;
       fix_ip_checksum(f);
     }},
    {"IGMP", NatEvent::protocol, false,
     [](Octets& f) {
       f[23] = 2;
       fix_ip_checksum(f);
     }},
    {"TCP checksum", NatEvent::bad_checksum, false, [](Octets& f) { f[60] ^= 1; }},
    {"TCP header of 16", NatEvent::bad_length, false, [](Octets& f) { f[46] = 0x40; }},
    {"TCP header behind the end", NatEvent::bad_length, false,
     [](Octets& f) {
       f[46] = 0xf0;
       f.resize(74);
       store_u16(f, 16, 60);
       fix_ip_checksum(f);
     }},
    {"SYN and FIN", NatEvent::bad_flags, false, [](Octets& f) { f[47] = 3; }},
    {"no flags", NatEvent::bad_flags, false, [](Octets& f) { f[47] = 0; }},
    {"SYN with data", NatEvent::bad_length, false, [](Octets& f) { f[47] = 2; }},
};

const Row kRows6[] = {
    {"IPv6 longer than the frame", NatEvent::bad_length, true,
     [](Octets& f) { store_u16(f, 18, 5000); }},
    {"hop-by-hop options", NatEvent::extension_header, true, [](Octets& f) { f[20] = 0; }},
    {"IPv6 fragment", NatEvent::extension_header, true, [](Octets& f) { f[20] = 44; }},
    {"ICMPv6", NatEvent::protocol, true, [](Octets& f) { f[20] = 58; }},
    {"link-local source", NatEvent::foreign_source, true, [](Octets& f) { f[22] = 0xfe; }},
    {"mapped target", NatEvent::policy_loopback, true,
     [](Octets& f) {
       std::fill_n(f.begin() + 38, 10, std::uint8_t{0});
       f[48] = f[49] = 0xff;
     }},
};

void expect_drops(std::span<const Row> rows) {
  for (const Row& row : rows) {
    SCOPED_TRACE(row.name);
    Gate gate;
    Octets frame = good(row.v6).frame();
    row.spoil(frame);
    EXPECT_FALSE(gate.sanitiser.check(frame, {}));
    for (std::size_t i = 0; i < kNatEventNames.size(); ++i) {
      const auto event = static_cast<NatEvent>(i);
      EXPECT_EQ(gate.counters[event], event == row.reason ? 1U : 0U) << kNatEventNames[i];
    }
  }
}

TEST(FrameSanitiser, DropsByName) {
  expect_drops(kRows4);
  expect_drops(kRows6);
}

TEST(FrameSanitiser, ChecksLengthAndChecksumOfUdp) {
  for (const bool v6 : {false, true}) {
    Gate gate;
    PacketRecipe recipe = good(v6);
    recipe.protocol = kIpProtocolUdp;
    const std::size_t udp = v6 ? 54 : 34;
    Octets frame = recipe.frame();
    store_u16(frame, udp + 4, 20);
    EXPECT_FALSE(gate.sanitiser.check(frame, {}));
    EXPECT_EQ(gate.counters[NatEvent::bad_length], 1U);
    frame = recipe.frame();
    store_u16(frame, udp + 6, 0);  // none, which only IPv4 allows
    EXPECT_EQ(gate.sanitiser.check(frame, {}).has_value(), !v6);
    frame = recipe.frame();
    frame[udp + 20] ^= 4;
    EXPECT_FALSE(gate.sanitiser.check(frame, {}));
  }
}

TEST(FrameSanitiser, ClearsUrgentDataAndTakesOptionsOff) {
  for (const bool v6 : {false, true}) {
    Gate gate;
    PacketRecipe recipe = good(v6);
    recipe.flags = kTcpAck | kTcpUrg | kTcpPsh;
    recipe.options = {1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8};
    Octets frame = recipe.frame();
    auto packet = gate.sanitiser.check(frame, {});
    ASSERT_TRUE(packet);
    EXPECT_EQ(packet->payload_offset - packet->transport_offset, kTcpHeaderSize);
    PacketRecipe plain = good(v6);
    plain.flags = kTcpAck | kTcpPsh;
    EXPECT_TRUE(Octets(packet->frame.begin(), packet->frame.end()) == plain.frame());
    EXPECT_EQ(gate.counters[NatEvent::urgent_cleared], 1U);
  }
}

TEST(FrameSanitiser, ReadsTheSegmentSizeOfASyn) {
  struct {
    Octets options;
    std::uint16_t size;
  } const rows[] = {{{}, 0},
                    {{2, 4, 5, 180}, 1460},
                    {{1, 1, 1, 1, 2, 4, 5, 180}, 1460},
                    {{3, 3, 7, 1, 2, 4, 35, 0}, 8960},
                    {{0, 0, 0, 0, 2, 4, 5, 180}, 0},
                    {{2, 3, 5, 0}, 0},
                    {{3, 0, 0, 0}, 0},
                    {{3, 40, 0, 0}, 0},
                    {{1, 1, 1, 2}, 0}};
  for (const auto& row : rows) {
    Gate gate;
    PacketRecipe recipe = good();
    recipe.payload.clear();
    recipe.flags = kTcpSyn;
    recipe.options = row.options;
    Octets frame = recipe.frame();
    const auto packet = gate.sanitiser.check(frame, {});
    ASSERT_TRUE(packet);
    EXPECT_EQ(packet->segment_size, row.size);
  }
}

TEST(FrameSanitiser, MakesTheChecksumThatIsOwed) {
  for (const bool v6 : {false, true}) {
    Gate gate;
    Octets frame = good(v6).frame();
    const Octets right = frame;
    store_u16(frame, (v6 ? 54U : 34U) + 16, 0x1234);
    Offload owed;
    owed.needs_checksum = true;
    ASSERT_TRUE(gate.sanitiser.check(frame, owed));
    EXPECT_TRUE(frame == right);
  }
}

TEST(FrameSanitiser, CutsPaddingOff) {
  Gate gate;
  PacketRecipe recipe = good();
  recipe.payload = {7};
  Octets frame = recipe.frame();
  frame.resize(60, 0xaa);
  const auto packet = gate.sanitiser.check(frame, {});
  ASSERT_TRUE(packet);
  EXPECT_EQ(packet->frame.size(), 55U);
}

}  // namespace
}  // namespace lanyard::testing
