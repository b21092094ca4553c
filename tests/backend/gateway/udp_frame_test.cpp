// SPDX-License-Identifier: MIT
#include "backend/gateway/udp_frame.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include "switch/frame/settler.h"
#include "tests/support/large_packet.h"
#include "tests/support/memory_endpoint.h"
#include "tests/support/udp_guest.h"

namespace lanyard::testing {
namespace {

constexpr MacAddress kGuestMac = MacAddress::from_number(0x525400000015);
constexpr MacAddress kRouterMac = MacAddress::from_number(0x52550a000202);

FlowKey key_of(bool v6) {
  FlowKey key;
  key.guest = address_key(v6 ? kGuest6 : kGuest4);
  key.target = address_key(addr(v6 ? "2001:db8::1" : "192.0.2.1"));
  key.guest_port = 40000;
  key.target_port = 53;
  key.protocol = kIpProtocolUdp;
  return key;
}

struct Made {
  Octets frame;
  Offload offload;
};

Made make(bool v6, const Octets& payload, std::size_t segment_size, std::size_t mtu) {
  Made made;
  made.frame.resize(udp_header_size(v6), 0xee);  // whatever was there before
  made.frame.insert(made.frame.end(), payload.begin(), payload.end());
  const FlowKey key = key_of(v6);
  made.offload =
      write_udp_headers(made.frame, {key, v6, kGuestMac, kRouterMac, segment_size, mtu, 77});
  return made;
}

// What is wrong with a datagram on the wire; empty when nothing is.
std::string fault(const Bytes& frame, bool v6, const Octets& payload) {
  const std::size_t header = udp_header_size(v6);
  const std::size_t udp = header - 8;
  if (frame.size() != header + payload.size()) return "has the wrong size";
  if (!std::equal(payload.begin(), payload.end(),
                  frame.begin() + static_cast<std::ptrdiff_t>(header))) {
    return "has another payload";
  }
  if (u16_of(frame, udp + 4) != frame.size() - udp) return "has the wrong UDP length";
  if (u16_of(frame, udp + 6) == 0) return "says that it has no checksum";
  if (v6 ? u16_of(frame, 18) != frame.size() - 54 : u16_of(frame, 16) != frame.size() - 14) {
    return "has the wrong IP length";
  }
  if (!v6 && plain_sum(frame, 14, 34) != 0xffff) return "has a bad IPv4 checksum";
  const std::size_t addresses = plain_sum(frame, v6 ? 22 : 26, udp);
  const std::size_t sum =
      plain_sum(frame, udp, frame.size(), (addresses + frame.size() - udp + 17) % 0xffff);
  return sum == 0xffff ? "" : "has a bad UDP checksum";
}

TEST(UdpFrame, SaysWhoSendsToWhom) {
  for (const bool v6 : {false, true}) {
    const Made made = make(v6, {1, 2, 3}, 0, 1500);
    const std::size_t udp = udp_header_size(v6) - 8;
    EXPECT_EQ(address_at(made.frame, v6 ? 22 : 26, v6), address_of(key_of(v6).target));
    EXPECT_EQ(address_at(made.frame, v6 ? 38 : 30, v6), v6 ? kGuest6 : kGuest4);
    EXPECT_EQ(load_u16(made.frame, udp), 53);
    EXPECT_EQ(load_u16(made.frame, udp + 2), 40000);
    EXPECT_EQ(MacAddress::from_bytes(std::span(made.frame).first<6>()), kGuestMac);
    if (!v6) {
      EXPECT_EQ(load_u16(made.frame, 20), 0x4000) << "it is whole";
    }
  }
}

TEST(UdpFrame, WhatIsGoingToBeFragmentedOwesNothing) {
  for (const bool v6 : {false, true}) {
    for (const std::size_t size : {1500U, 40001U, 65507U}) {
      const Octets payload = numbered_bytes(size);
      const Made made = make(v6, payload, 0, 1500);
      EXPECT_TRUE(made.offload.owes_nothing());
      EXPECT_EQ(fault(made.frame, v6, payload), "");
      if (v6) continue;
      EXPECT_EQ(load_u16(made.frame, 18), 77);
      EXPECT_EQ(load_u16(made.frame, 20), 0);
    }
  }
}

// Whatever is owed, what comes to the wire is right.
RC_GTEST_PROP(UdpFrame, IsSettledToTheDatagramsItIsOf, ()) {
  const bool v6 = *rc::gen::arbitrary<bool>();
  const auto step = *rc::gen::inRange<std::size_t>(1, 1453);
  const auto count = *rc::gen::inRange<std::size_t>(1, 40);
  const auto last = *rc::gen::inRange<std::size_t>(1, step + 1);
  const auto seed = *rc::gen::arbitrary<std::uint8_t>();
  Octets payload(step * (count - 1) + last);
  for (std::size_t i = 0; i < payload.size(); ++i) {
    payload[i] = static_cast<std::uint8_t>((i * 131 + seed) >> 3);
  }
  const Made made = make(v6, payload, count == 1 ? 0 : step, 1500);
  FramePool pool;
  FrameRef frame = pool.make();
  std::copy(made.frame.begin(), made.frame.end(), frame->segments[0].data);
  frame->set_bytes(frame->segments[0].data, static_cast<std::uint32_t>(made.frame.size()));
  frame->offload = made.offload;
  RC_ASSERT(is_sound(*frame));
  Settler settler(pool);
  const Outgoing out = Outgoing::untagged(std::move(frame));
  settler.begin(out);
  std::size_t at = 0;
  EgressBatch batch;
  for (bool more = true; more; batch.clear()) {
    more = settler.next(batch);
    for (const Outgoing& one : batch) {
      const Bytes bytes = gathered(one).bytes;
      const std::size_t size = std::min(step, payload.size() - at);
      const auto first = payload.begin() + static_cast<std::ptrdiff_t>(at);
      RC_ASSERT(fault(bytes, v6, Octets(first, first + static_cast<std::ptrdiff_t>(size))) == "");
      at += size;
    }
  }
  RC_ASSERT(at == payload.size());
}

}  // namespace
}  // namespace lanyard::testing
