// SPDX-License-Identifier: MIT
#include "backend/gateway/fragment_reassembler.h"

#include <gtest/gtest.h>

#include "tests/support/nat_world.h"

namespace lanyard::testing {
namespace {

using Outcome = FragmentReassembler::Outcome;
using std::chrono::seconds;

struct Piece {
  std::size_t begin;
  std::size_t end;
};

Octets datagram(const IpAddress& source, const IpAddress& destination, std::size_t size,
                MacAddress mac = MacAddress::from_number(0x525400000015)) {
  PacketRecipe recipe;
  recipe.from = mac;
  recipe.source = source;
  recipe.destination = destination;
  recipe.protocol = kIpProtocolUdp;
  recipe.payload = numbered_bytes(size);
  return recipe.frame();
}

// Part of what follows the IP header.
Octets piece_of(const Octets& whole, Piece piece, std::uint16_t id = 7) {
  const bool v6 = load_u16(whole, 12) == 0x86dd;
  const std::size_t header = kIpOffset + (v6 ? kIpv6HeaderSize : kIpv4HeaderSize);
  const auto at = [&](std::size_t i) { return whole.begin() + static_cast<std::ptrdiff_t>(i); };
  const bool more = header + piece.end < whole.size();
  Octets frame(whole.begin(), at(header));
  if (v6) {
    const Octets extension{frame[20],
                           0,
                           static_cast<std::uint8_t>(piece.begin >> 8),
                           static_cast<std::uint8_t>(piece.begin | (more ? 1 : 0)),
                           0,
                           0,
                           static_cast<std::uint8_t>(id >> 8),
                           static_cast<std::uint8_t>(id)};
    frame.insert(frame.end(), extension.begin(), extension.end());
    frame[20] = 44;
    store_u16(frame, 18, static_cast<std::uint16_t>(8 + piece.end - piece.begin));
  } else {
    store_u16(frame, 16, static_cast<std::uint16_t>(20 + piece.end - piece.begin));
    store_u16(frame, 18, id);
    store_u16(frame, 20, static_cast<std::uint16_t>(piece.begin / 8 | (more ? 0x2000U : 0U)));
    store_u16(frame, 24, 0);
    store_u16(frame, 24, internet_checksum(std::span(frame).subspan(kIpOffset, 20)));
  }
  frame.insert(frame.end(), at(header + piece.begin), at(header + piece.end));
  return frame;
}

TEST(FragmentReassembler, PutsPiecesTogetherInAnyOrder) {
  for (const bool v6 : {false, true}) {
    const Octets whole = v6 ? datagram(kGuest6, kRouter6, 4000) : datagram(kGuest4, kRouter4, 4000);
    const std::vector<std::vector<Piece>> rows = {
        {{0, 1480}, {1480, 2960}, {2960, 4008}},
        {{2960, 4008}, {1480, 2960}, {0, 1480}},
        {{1480, 2960}, {0, 1480}, {1480, 2960}, {2960, 4008}},  // one comes twice
        {{0, 8}, {8, 4008}},
    };
    for (const auto& pieces : rows) {
      FragmentReassembler reassembler;
      for (std::size_t i = 0; i + 1 < pieces.size(); ++i) {
        EXPECT_EQ(reassembler.add(piece_of(whole, pieces[i], 0), seconds(1)), Outcome::held);
      }
      ASSERT_EQ(reassembler.add(piece_of(whole, pieces.back(), 0), seconds(2)), Outcome::complete);
      EXPECT_EQ(reassembler.take(), whole);
      EXPECT_EQ(reassembler.bytes() + reassembler.datagrams(), 0U);
    }
  }
}

TEST(FragmentReassembler, DropsWhatOverlapsWithAllThatBelongsToIt) {
  const Octets whole = datagram(kGuest4, kRouter4, 4000);
  const std::vector<std::vector<Piece>> rows = {
      {{0, 1480}, {1472, 2960}},
      {{1480, 2960}, {0, 2960}},
      {{0, 2960}, {8, 16}},
      {{2960, 4008}, {2968, 4008}},
  };
  for (const auto& pieces : rows) {
    FragmentReassembler reassembler;
    EXPECT_EQ(reassembler.add(piece_of(whole, pieces[0]), seconds(1)), Outcome::held);
    EXPECT_EQ(reassembler.add(piece_of(whole, pieces[1]), seconds(1)), Outcome::dropped);
    EXPECT_EQ(reassembler.bytes(), 0U);
    for (const Piece piece : {Piece{0, 1480}, {1480, 2960}, {2960, 4008}}) {
      EXPECT_EQ(reassembler.add(piece_of(whole, piece), seconds(2)), Outcome::dropped);
    }
  }
}

TEST(FragmentReassembler, LeavesWhatIsNoFragment) {
  FragmentReassembler reassembler;
  EXPECT_EQ(reassembler.add(datagram(kGuest4, kRouter4, 10), seconds(1)), Outcome::no_fragment);
  EXPECT_EQ(reassembler.add(datagram(kGuest6, kRouter6, 10), seconds(1)), Outcome::no_fragment);
  EXPECT_EQ(reassembler.add(Octets(3), seconds(1)), Outcome::no_fragment);
}

TEST(FragmentReassembler, GivesUpAfterATime) {
  const Octets whole = datagram(kGuest4, kRouter4, 2000);
  FragmentReassembler reassembler;
  EXPECT_EQ(reassembler.add(piece_of(whole, {0, 1480}), seconds(1)), Outcome::held);
  EXPECT_EQ(reassembler.add(piece_of(whole, {1480, 2008}), seconds(16)), Outcome::held);
  EXPECT_EQ(reassembler.datagrams(), 1U);
  reassembler.expire(seconds(31));
  EXPECT_EQ(reassembler.bytes() + reassembler.datagrams(), 0U);
}

TEST(FragmentReassembler, AGuestCannotTakeAllThereIs) {
  FragmentReassembler reassembler;
  const Octets whole = datagram(kGuest4, kRouter4, 60000);
  std::uint16_t id = 0;
  for (; id < 1000; ++id) (void)reassembler.add(piece_of(whole, {59992, 60000}, id), seconds(1));
  EXPECT_LE(reassembler.datagrams(), FragmentReassembler::kDatagramsPerGuest);
  EXPECT_LE(reassembler.bytes(), FragmentReassembler::kBytesPerGuest);
  const Octets other = datagram(kGuest4, kRouter4, 2000, MacAddress::from_number(0x525400000099));
  EXPECT_EQ(reassembler.add(piece_of(other, {0, 1480}), seconds(1)), Outcome::held);
  EXPECT_EQ(reassembler.add(piece_of(other, {1480, 2008}), seconds(1)), Outcome::complete);
}

TEST(FragmentReassembler, RefusesLengthsThatCannotBe) {
  const Octets whole = datagram(kGuest4, kRouter4, 2000);
  Octets odd = piece_of(whole, {0, 1476});  // not a multiple of eight, and more follows
  FragmentReassembler reassembler;
  EXPECT_EQ(reassembler.add(odd, seconds(1)), Outcome::dropped);
  Octets far = piece_of(whole, {1480, 2008});
  store_u16(far, 20, 0x1fff);  // ends behind 65535
  store_u16(far, 24, 0);
  store_u16(far, 24, internet_checksum(std::span(far).subspan(kIpOffset, 20)));
  EXPECT_EQ(reassembler.add(far, seconds(1)), Outcome::dropped);
  EXPECT_EQ(reassembler.datagrams(), 0U);
}

}  // namespace
}  // namespace lanyard::testing
