// SPDX-License-Identifier: MIT
#include "switch/frame/internet_checksum.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <vector>

namespace lanyard {
namespace {

using Bytes = std::vector<std::uint8_t>;

// As RFC 1071 says it.
std::uint16_t plain_sum(const Bytes& bytes) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    sum += i % 2 == 0 ? static_cast<std::uint32_t>(bytes[i]) << 8 : bytes[i];
    sum = (sum & 0xffff) + (sum >> 16);
  }
  return static_cast<std::uint16_t>(sum);
}

TEST(InternetChecksum, IsTheOneOfTheStandardsExample) {
  const Bytes bytes{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};  // RFC 1071 3
  InternetChecksum checksum;
  checksum.add(bytes);
  EXPECT_EQ(checksum.sum(), 0xddf2);
  EXPECT_EQ(internet_checksum(bytes), 0x220d);
}

TEST(InternetChecksum, OfNothingIsAllOnes) {
  EXPECT_EQ(internet_checksum({}), 0xffff);
}

TEST(InternetChecksum, LosesNoCarryOfALongBuffer) {
  const Bytes ones(65536, 0xff);
  EXPECT_EQ(internet_checksum(ones), 0);
}

RC_GTEST_PROP(InternetChecksum, EqualsThePlainLoop, (const Bytes& bytes)) {
  RC_ASSERT(internet_checksum(bytes) == static_cast<std::uint16_t>(~plain_sum(bytes)));
}

RC_GTEST_PROP(InternetChecksum, IsTheSameInPiecesOfEvenLength, (const Bytes& bytes)) {
  const std::size_t cut = *rc::gen::inRange<std::size_t>(0, bytes.size() + 1) & ~std::size_t{1};
  InternetChecksum pieces;
  pieces.add(std::span(bytes).first(cut));
  pieces.add(std::span(bytes).subspan(cut));
  RC_ASSERT(pieces.finish() == internet_checksum(bytes));
}

RC_GTEST_PROP(InternetChecksum, OfNumbersIsThatOfTheirBytes, (std::uint32_t a, std::uint16_t b)) {
  InternetChecksum numbers;
  numbers.add_u32(a);
  numbers.add_u16(b);
  const Bytes bytes{
      static_cast<std::uint8_t>(a >> 24), static_cast<std::uint8_t>(a >> 16),
      static_cast<std::uint8_t>(a >> 8),  static_cast<std::uint8_t>(a),
      static_cast<std::uint8_t>(b >> 8),  static_cast<std::uint8_t>(b),
  };
  RC_ASSERT(numbers.finish() == internet_checksum(bytes));
}

}  // namespace
}  // namespace lanyard
