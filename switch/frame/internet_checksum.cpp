// SPDX-License-Identifier: MIT
#include "switch/frame/internet_checksum.h"

#include <bit>
#include <cstring>

namespace lanyard {
namespace {

constexpr std::uint64_t add_carry(std::uint64_t a, std::uint64_t b) {
  const std::uint64_t sum = a + b;
  return sum + (sum < a ? 1 : 0);
}

constexpr std::uint16_t swapped(std::uint16_t number) {
  return static_cast<std::uint16_t>(number << 8 | number >> 8);
}

}  // namespace

void InternetChecksum::add(std::span<const std::uint8_t> bytes) {
  const std::uint8_t* at = bytes.data();
  std::size_t left = bytes.size();
  // The low and the high halves of words are summed apart: 32 bits of room for carries mean that
  // no addition waits for the one before it, and the compiler may use wide registers.
  std::uint64_t low = 0;
  std::uint64_t high = 0;
  for (; left >= 8; left -= 8, at += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, at, sizeof word);
    low += word & 0xffffffff;
    high += word >> 32;
  }
  if (left != 0) {
    std::uint64_t word = 0;  // what is missing counts as zero
    std::memcpy(&word, at, left);
    low += word & 0xffffffff;
    high += word >> 32;
  }
  sum_ = add_carry(sum_, add_carry(low, high));
}

void InternetChecksum::add_u16(std::uint16_t number) {
  if constexpr (std::endian::native == std::endian::little) number = swapped(number);
  sum_ = add_carry(sum_, number);
}

std::uint16_t InternetChecksum::sum() const {
  std::uint64_t folded = (sum_ >> 32) + (sum_ & 0xffffffff);
  folded = (folded >> 16) + (folded & 0xffff);
  folded = (folded >> 16) + (folded & 0xffff);
  folded = (folded >> 16) + (folded & 0xffff);
  const auto word = static_cast<std::uint16_t>(folded);
  if constexpr (std::endian::native == std::endian::little) return swapped(word);
  return word;
}

}  // namespace lanyard
