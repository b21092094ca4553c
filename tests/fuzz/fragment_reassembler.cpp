// SPDX-License-Identifier: MIT
//
// Fragments of guests, many frames an input: a length of two bytes and the frame, over and over.
// Whatever comes, the bounds hold, and what comes out is one IP packet that is no fragment.
#include "backend/gateway/fragment_reassembler.h"

#include "backend/gateway/nat_packet.h"
#include "tests/fuzz/input.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace lanyard;
  using Outcome = FragmentReassembler::Outcome;
  std::span<const std::uint8_t> rest(data, size);
  FragmentReassembler reassembler;
  Time now = std::chrono::seconds(1);
  while (rest.size() >= 2) {
    const std::size_t length = std::min<std::size_t>(load_u16(rest, 0), rest.size() - 2);
    const Outcome outcome = reassembler.add(rest.subspan(2, length), now);
    rest = rest.subspan(2 + length);
    now += std::chrono::milliseconds(100);
    fuzz::require(reassembler.bytes() <= FragmentReassembler::kBytesMax &&
                      reassembler.datagrams() <= FragmentReassembler::kDatagramsMax,
                  "the bounds hold");
    if (outcome != Outcome::complete) continue;
    const std::vector<std::uint8_t> packet = reassembler.take();
    const auto ip = std::span(packet).subspan(kIpOffset);
    if (ip[0] >> 4 == 6) {
      fuzz::require(load_u16(ip, 4) + kIpv6HeaderSize == ip.size(), "the IPv6 length");
    } else {
      fuzz::require(load_u16(ip, 2) == ip.size(), "the IPv4 length");
      fuzz::require((load_u16(ip, 6) & 0x3fff) == 0, "no fragment");
      fuzz::require(internet_checksum(ip.first(kIpv4HeaderSize)) == 0, "the IPv4 checksum");
    }
  }
  return 0;
}
