// SPDX-License-Identifier: MIT
//
// Joined segments must mean the same as the single ones: a receiver that takes both ways must end
// up with the same bytes, acknowledgement, window and flags.
#include "backend/gateway/coalescer.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <map>

#include "backend/gateway/frame_sanitiser.h"
#include "tests/support/nat_world.h"

namespace lanyard::testing {
namespace {

// What a TCP remembers of the segments it is given.
struct Receiver final : Coalescer::Sink {
  struct Stream {
    std::map<std::uint32_t, std::uint8_t> bytes;
    std::uint32_t acknowledgement = 0;
    std::uint16_t window = 0;
    unsigned equal_acknowledgements = 0;
    unsigned others = 0;  // SYN, FIN, RST
    bool operator==(const Stream&) const = default;
  };
  std::map<std::uint16_t, Stream> streams;
  std::size_t packets = 0;
  std::size_t largest = 0;
  bool right = true;

  void deliver(NatPacket& packet) override {
    ++packets;
    largest = std::max(largest, packet.payload_size());
    NatCounters counters;
    FrameSanitiser again(Ipv4Prefix::parse("10.0.2.0/24"), Ipv6Prefix::parse("fd00:2::/64"),
                         counters);
    Octets copy(packet.frame.begin(), packet.frame.end());
    const auto checked = again.check(copy, {});
    right = right && checked && checked->sequence == packet.sequence &&
            checked->flags == packet.flags && checked->window == packet.window &&
            checked->payload_size() == packet.payload_size();
    Stream& stream = streams[packet.key.guest_port];
    const auto payload = packet.payload();
    for (std::size_t i = 0; i < payload.size(); ++i) {
      stream.bytes[packet.sequence + static_cast<std::uint32_t>(i)] = payload[i];
    }
    if ((packet.flags & ~(kTcpAck | kTcpPsh)) != 0) ++stream.others;
    if (payload.empty() && packet.acknowledgement == stream.acknowledgement) {
      ++stream.equal_acknowledgements;
    }
    stream.acknowledgement = packet.acknowledgement;
    stream.window = packet.window;
  }
};

struct Through {
  Receiver receiver;
  NatCounters counters;
  Coalescer coalescer{receiver, counters};
  FrameSanitiser sanitiser{Ipv4Prefix::parse("10.0.2.0/24"), Ipv6Prefix::parse("fd00:2::/64"),
                           counters};
  // With flush_each every frame goes alone.
  void run(std::vector<Octets> frames, bool flush_each) {
    for (Octets& frame : frames) {
      if (auto packet = sanitiser.check(frame, {})) coalescer.add(*packet);
      if (flush_each) coalescer.flush();
    }
    coalescer.flush();
  }
};

PacketRecipe segment(std::uint32_t sequence, std::size_t size, std::uint16_t port = 40000) {
  PacketRecipe recipe;
  recipe.source = kGuest4;
  recipe.destination = kRouter4;
  recipe.source_port = port;
  recipe.sequence = sequence;
  recipe.payload = numbered_bytes(size);
  return recipe;
}

TEST(Coalescer, JoinsABurstUpToTheCap) {
  Through through;
  std::vector<Octets> frames;
  for (std::uint32_t i = 0; i < 44; ++i) frames.push_back(segment(i * 1460, 1460).frame());
  through.run(frames, false);
  EXPECT_EQ(through.receiver.packets, 2U);
  EXPECT_EQ(through.receiver.largest, 32120U);
  EXPECT_TRUE(through.receiver.right);
  EXPECT_EQ(through.counters[NatEvent::coalesced], 42U);
}

TEST(Coalescer, JoinsOnlyWhatContinues) {
  struct {
    const char* name;
    std::function<void(PacketRecipe&)> change;
    std::size_t packets;
  } const rows[] = {
      {"the same", [](PacketRecipe&) {}, 1},
      {"PSH", [](PacketRecipe& r) { r.flags |= kTcpPsh; }, 1},
      {"another window", [](PacketRecipe& r) { r.window = 1; }, 1},
      {"a gap", [](PacketRecipe& r) { r.sequence += 1; }, 2},
      {"an overlap", [](PacketRecipe& r) { r.sequence -= 1; }, 2},
      {"another acknowledgement", [](PacketRecipe& r) { r.acknowledgement = 1; }, 2},
      {"FIN", [](PacketRecipe& r) { r.flags |= kTcpFin; }, 2},
      {"RST", [](PacketRecipe& r) { r.flags |= kTcpRst; }, 2},
      {"another port", [](PacketRecipe& r) { r.source_port = 1; }, 2},
      {"another guest's MAC", [](PacketRecipe& r) { r.from = MacAddress::from_number(2); }, 2},
      {"no data", [](PacketRecipe& r) { r.payload.clear(); }, 2},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.name);
    Through through;
    PacketRecipe second = segment(1101, 100);
    row.change(second);
    through.run({segment(1000, 101).frame(), second.frame()}, false);
    EXPECT_EQ(through.receiver.packets, row.packets);
    EXPECT_TRUE(through.receiver.right);
  }
}

TEST(Coalescer, KeepsRepeatedAcknowledgements) {
  Through through;
  std::vector<Octets> frames;
  for (const std::uint32_t ack : {1U, 2U, 3U, 3U, 3U, 4U}) {
    PacketRecipe recipe = segment(5, 0);
    recipe.acknowledgement = ack;
    frames.push_back(recipe.frame());
  }
  through.run(frames, false);
  EXPECT_EQ(through.receiver.packets, 3U);  // 3 (for 1 to 3), 3, and 4 for 3 and 4
  EXPECT_EQ(through.receiver.streams[40000].equal_acknowledgements, 1U);
}

TEST(Coalescer, HoldsMoreFlowsThanItHasRoomFor) {
  Through through;
  std::vector<Octets> frames;
  for (std::uint32_t i = 0; i < 4; ++i) {
    for (std::uint16_t port = 1; port <= 100; ++port) {
      frames.push_back(segment(i * 100, 100, port).frame());
    }
  }
  through.run(frames, false);
  EXPECT_EQ(through.receiver.streams.size(), 100U);
  for (const auto& [port, stream] : through.receiver.streams) {
    EXPECT_EQ(stream.bytes.size(), 400U) << port;
  }
  EXPECT_TRUE(through.receiver.right);
}

RC_GTEST_PROP(CoalescerProperty, MeansTheSameAsFrameByFrame, ()) {
  std::vector<Octets> frames;
  std::map<std::uint16_t, std::uint32_t> next;
  const auto count = *rc::gen::inRange(1, 60);
  for (int i = 0; i < count; ++i) {
    const auto port = static_cast<std::uint16_t>(*rc::gen::inRange(1, 4));
    const auto size = static_cast<std::size_t>(*rc::gen::element(0, 1, 2, 99, 1460, 5000, 20000));
    PacketRecipe recipe = segment(next[port] + 0xffffff00, size, port);
    recipe.sequence += static_cast<std::uint32_t>(
        *rc::gen::weightedElement<int>({{20, 0}, {1, 1}, {1, -1}, {1, 1460}}));
    recipe.acknowledgement =
        static_cast<std::uint32_t>(*rc::gen::weightedElement<int>({{20, 100}, {2, 101}, {1, 99}}));
    recipe.flags = static_cast<std::uint8_t>(*rc::gen::weightedElement<int>(
        {{20, kTcpAck}, {5, kTcpAck | kTcpPsh}, {1, kTcpAck | kTcpFin}, {1, kTcpRst}}));
    recipe.window =
        static_cast<std::uint16_t>(*rc::gen::weightedElement<int>({{20, 65535}, {1, 1000}}));
    // Bytes of the stream depend on their place, so that both ways may deliver them repeatedly.
    for (std::size_t b = 0; b < size; ++b) {
      recipe.payload[b] = static_cast<std::uint8_t>((recipe.sequence + b) * 31U);
    }
    next[port] = recipe.sequence - 0xffffff00 + static_cast<std::uint32_t>(size);
    frames.push_back(recipe.frame());
  }
  Through joined;
  Through single;
  joined.run(frames, false);
  single.run(frames, true);
  RC_ASSERT(joined.receiver.right);
  for (auto& [port, stream] : single.receiver.streams) {
    auto& other = joined.receiver.streams[port];
    RC_ASSERT(other.bytes == stream.bytes);
    RC_ASSERT(other.acknowledgement == stream.acknowledgement);
    RC_ASSERT(other.window == stream.window);
    RC_ASSERT(other.others == stream.others);
  }
}

}  // namespace
}  // namespace lanyard::testing
