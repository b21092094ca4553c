// SPDX-License-Identifier: MIT
#include "switch/frame/virtio_header.h"

#include <gtest/gtest.h>

#include <ostream>
#include <vector>

namespace lanyard {

void PrintTo(VirtioFault fault, std::ostream* out) {
  *out << name_of(fault);
}

namespace {

constexpr std::uint8_t kNeedsChecksum = 1;
constexpr std::uint8_t kTcp4 = 1;
constexpr std::uint8_t kUfo = 3;
constexpr std::uint8_t kTcp6 = 4;
constexpr std::uint8_t kUdp = 5;
constexpr std::uint8_t kEcn = 0x80;

struct Fields {
  std::uint8_t flags = 0;
  std::uint8_t kind = 0;
  std::uint16_t header_size = 0;
  std::uint16_t segment_size = 0;
  std::uint16_t start = 0;
  std::uint16_t offset = 0;
};

VirtioHeader header_of(const Fields& f) {
  const auto low = [](unsigned n) { return static_cast<std::uint8_t>(n); };
  return {f.flags,
          f.kind,
          low(f.header_size),
          low(f.header_size >> 8U),
          low(f.segment_size),
          low(f.segment_size >> 8U),
          low(f.start),
          low(f.start >> 8U),
          low(f.offset),
          low(f.offset >> 8U),
          0,
          0};
}

// A TCP header of `words` words at `start`; everything else is zero.
std::vector<std::uint8_t> frame_of(std::size_t size, std::size_t start = 34, unsigned words = 5) {
  std::vector<std::uint8_t> frame(size);
  if (start + 12 < size) frame[start + 12] = static_cast<std::uint8_t>(words << 4);
  return frame;
}

VirtioReading read(const Fields& fields, const std::vector<std::uint8_t>& frame) {
  return read_virtio_header(header_of(fields), frame, frame.size());
}

TEST(VirtioHeader, OfAFrameThatOwesNothingIsZero) {
  EXPECT_EQ(make_virtio_header({}), VirtioHeader{});
  const VirtioReading reading = read({}, {});
  EXPECT_EQ(reading.fault, VirtioFault::none);
  EXPECT_TRUE(reading.offload.owes_nothing());
}

TEST(VirtioHeader, SurvivesTheWayThere) {
  struct Row {
    Offload::Segmentation kind;
    std::uint16_t start;
    std::uint16_t offset;
    std::uint16_t header;
  };
  const std::vector<Row> rows{
      {Offload::Segmentation::tcp4, 34, 16, 54}, {Offload::Segmentation::tcp6, 54, 16, 74},
      {Offload::Segmentation::udp, 34, 6, 42},   {Offload::Segmentation::udp, 54, 6, 62},
      {Offload::Segmentation::tcp4, 38, 16, 58},  // with a tag
      {Offload::Segmentation::none, 34, 6, 0},
  };
  for (const Row& row : rows) {
    Offload offload;
    offload.segmentation = row.kind;
    offload.needs_checksum = true;
    offload.checksum_start = row.start;
    offload.checksum_offset = row.offset;
    offload.header_size = row.header;
    if (row.kind != Offload::Segmentation::none) offload.segment_size = 1448;
    const auto frame = frame_of(9000, row.start);
    const VirtioHeader header = make_virtio_header(offload);
    const VirtioReading reading = read_virtio_header(header, frame, frame.size());
    EXPECT_EQ(reading.fault, VirtioFault::none) << row.start;
    EXPECT_EQ(reading.offload, offload) << row.start;
  }
}

TEST(VirtioHeader, LiesAreRefusedByName) {
  struct Row {
    Fields fields;
    std::vector<std::uint8_t> frame;
    VirtioFault fault;
  };
  constexpr std::uint8_t kCk = kNeedsChecksum;
  const std::vector<Row> rows{
      {{0, kUfo, 0, 1480, 34, 6}, frame_of(3000), VirtioFault::unknown_segmentation},
      {{kCk, 2, 0, 1480, 34, 16}, frame_of(3000), VirtioFault::unknown_segmentation},
      {{0, kTcp4, 54, 1448, 34, 16}, frame_of(3000), VirtioFault::checksum_not_owed},
      {{kCk, 0, 0, 0, 13, 16}, frame_of(3000), VirtioFault::checksum_misplaced},
      {{kCk, 0, 0, 0, 34, 16}, frame_of(51), VirtioFault::checksum_past_end},
      {{kCk, 0, 0, 0, 34, 0xffff}, frame_of(3000), VirtioFault::checksum_past_end},
      {{kCk, 0, 0, 0, 0xffff, 0xffff}, frame_of(3000), VirtioFault::checksum_past_end},
      {{kCk, kTcp4, 54, 1448, 34, 6}, frame_of(3000), VirtioFault::checksum_misplaced},
      {{kCk, kUdp, 42, 1448, 34, 16}, frame_of(3000), VirtioFault::checksum_misplaced},
      {{kCk, kTcp4, 54, 1448, 33, 16}, frame_of(3000), VirtioFault::checksum_misplaced},
      {{kCk, kTcp6, 74, 1448, 34, 16}, frame_of(3000), VirtioFault::checksum_misplaced},
      {{kCk, kTcp4, 54, 0, 34, 16}, frame_of(3000), VirtioFault::no_segment_size},
      {{kCk, kTcp4, 54, 1448, 34, 16}, frame_of(53), VirtioFault::header_past_end},
      {{kCk, kTcp4, 54, 1448, 34, 16}, frame_of(3000, 34, 4), VirtioFault::header_past_end},
      {{kCk, kTcp4, 54, 1448, 34, 16}, frame_of(93, 34, 15), VirtioFault::header_past_end},
      {{kCk, kTcp4, 54, 1, 34, 16}, frame_of(60000), VirtioFault::too_many_segments},
  };
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const VirtioReading reading = read(rows[i].fields, rows[i].frame);
    EXPECT_EQ(reading.fault, rows[i].fault) << "row " << i;
    EXPECT_TRUE(reading.offload.owes_nothing()) << "row " << i;
  }
}

TEST(VirtioHeader, TheHeadersMustLieInTheFirstPiece) {
  const auto head = frame_of(60);
  const Fields fields{kNeedsChecksum, kTcp4, 54, 1448, 34, 16};
  EXPECT_EQ(read_virtio_header(header_of(fields), head, 9000).fault, VirtioFault::none);
  EXPECT_EQ(read_virtio_header(header_of(fields), std::span(head).first(51), 9000).fault,
            VirtioFault::checksum_past_end);
}

TEST(VirtioHeader, TheLengthOfTheHeaderIsThatOfTheTransportNotTheHint) {
  const auto frame = frame_of(9000, 34, 8);
  const VirtioReading reading = read({kNeedsChecksum, kTcp4, 1000, 1448, 34, 16}, frame);
  EXPECT_EQ(reading.offload.header_size, 34 + 32);
}

TEST(VirtioHeader, ASingleSegmentOwesOnlyItsChecksum) {
  const auto frame = frame_of(54 + 1448);
  const VirtioReading reading = read({kNeedsChecksum, kTcp4, 54, 1448, 34, 16}, frame);
  EXPECT_EQ(reading.fault, VirtioFault::none);
  EXPECT_EQ(reading.offload.segmentation, Offload::Segmentation::none);
  EXPECT_TRUE(reading.offload.needs_checksum);
}

TEST(VirtioHeader, CongestionMarksAreNoKindOfTheirOwn) {
  const auto frame = frame_of(9000);
  const VirtioReading reading = read({kNeedsChecksum, kTcp4 | kEcn, 54, 1448, 34, 16}, frame);
  EXPECT_EQ(reading.offload.segmentation, Offload::Segmentation::tcp4);
}

}  // namespace
}  // namespace lanyard
