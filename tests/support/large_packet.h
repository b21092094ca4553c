// SPDX-License-Identifier: MIT
//
// Packets that owe work, built field by field, and a reader that finds every fault of a packet on
// the wire. Both are written from the RFCs as plainly as possible and share nothing with the code
// under test.
#pragma once

#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "switch/frame/frame_pool.h"
#include "tests/support/frame_builder.h"

namespace lanyard::testing {

inline void put_u16(Bytes& to, std::size_t word) {
  to.push_back(static_cast<std::uint8_t>(word >> 8));
  to.push_back(static_cast<std::uint8_t>(word));
}

inline std::size_t u16_of(const Bytes& bytes, std::size_t at) {
  return static_cast<std::size_t>(bytes.at(at)) << 8 | bytes.at(at + 1);
}

// The sum of 16-bit words with the carries added back, one at a time.
inline std::size_t plain_sum(const Bytes& bytes, std::size_t from, std::size_t to,
                             std::size_t sum = 0) {
  for (std::size_t at = from; at < to; at += 2) {
    sum += static_cast<std::size_t>(bytes[at]) << 8 | (at + 1 < to ? bytes[at + 1] : 0);
    sum = (sum & 0xffff) + (sum >> 16);
  }
  return sum;
}

struct LargePacket {
  bool ipv6 = false;
  bool udp = false;
  std::size_t payload = 5000;
  std::uint16_t segment_size = 1448;  // 0: owes a checksum only
  std::size_t options = 12;           // of TCP, in bytes
  std::size_t ip_options = 0;         // of IPv4, in bytes
  std::size_t extensions = 0;         // of IPv6, headers of eight bytes
  std::size_t tags = 0;               // in the bytes
  std::uint8_t flags = 0x19;          // FIN, PSH, ACK
  std::uint8_t traffic_class = 0x02;  // ECT(0)
  std::uint32_t sequence = 0xfffff000;
  std::uint16_t id = 0xfffe;

  std::size_t network_at() const { return 14 + 4 * tags; }
  std::size_t transport_at() const {
    return network_at() + (ipv6 ? 40 + 8 * extensions : 20 + ip_options);
  }
  std::size_t header_size() const { return transport_at() + (udp ? 8 : 20 + options); }

  Offload offload() const {
    Offload owed;
    owed.needs_checksum = true;
    owed.checksum_start = static_cast<std::uint16_t>(transport_at());
    owed.checksum_offset = udp ? 6 : 16;
    if (segment_size == 0) return owed;
    owed.segmentation = udp    ? Offload::Segmentation::udp
                        : ipv6 ? Offload::Segmentation::tcp6
                               : Offload::Segmentation::tcp4;
    owed.segment_size = segment_size;
    owed.header_size = static_cast<std::uint16_t>(header_size());
    return owed;
  }

  Bytes bytes() const {
    Bytes all{2, 0, 0, 0, 0, 0xb2, 2, 0, 0, 0, 0, 0xa1};
    for (std::size_t i = 0; i < tags; ++i) put_u16(all, 0x8100), put_u16(all, 0x2000 + 7 + i);
    put_u16(all, ipv6 ? 0x86dd : 0x0800);
    const std::size_t whole = header_size() + payload;
    if (ipv6) {
      put_u16(all, 0x6000U | static_cast<unsigned>(traffic_class) << 4U), put_u16(all, 0x1234);
      put_u16(all, whole - network_at() - 40);
      all.push_back(extensions != 0 ? 0 : protocol());
      all.push_back(64);
      for (std::size_t i = 0; i < 32; ++i) all.push_back(static_cast<std::uint8_t>(0xfd + i * 3));
      for (std::size_t i = 0; i < extensions; ++i) {
        all.push_back(i + 1 < extensions ? 60 : protocol());
        for (const int octet : {0, 1, 4, 0, 0, 0, 0}) {
          all.push_back(static_cast<std::uint8_t>(octet));
        }
      }
    } else {
      all.push_back(static_cast<std::uint8_t>(0x45 + ip_options / 4));
      all.push_back(traffic_class);
      put_u16(all, whole - network_at()), put_u16(all, id), put_u16(all, 0x4000);
      all.push_back(64), all.push_back(protocol());
      put_u16(all, 0);
      for (const int octet : {10, 0, 0, 1, 10, 0, 0, 2}) {
        all.push_back(static_cast<std::uint8_t>(octet));
      }
      all.insert(all.end(), ip_options, 1);
      const std::size_t sum = ~plain_sum(all, network_at(), all.size()) & 0xffff;
      all[network_at() + 10] = static_cast<std::uint8_t>(sum >> 8);
      all[network_at() + 11] = static_cast<std::uint8_t>(sum);
    }
    put_u16(all, 5001), put_u16(all, 40000);
    const std::size_t length = whole - transport_at();
    if (udp) {
      put_u16(all, length), put_u16(all, pseudo_sum(all, length));
    } else {
      put_u16(all, sequence >> 16), put_u16(all, sequence & 0xffff);
      put_u16(all, 0x1111), put_u16(all, 0x2222);
      all.push_back(static_cast<std::uint8_t>((20 + options) / 4 << 4));
      all.push_back(flags);
      put_u16(all, 501), put_u16(all, pseudo_sum(all, length)), put_u16(all, 0);
      all.insert(all.end(), options, 1);
    }
    for (std::size_t i = 0; i < payload; ++i) {
      all.push_back(static_cast<std::uint8_t>(i * 31 + (i >> 8) * 7));
    }
    return all;
  }

  WireFrame wire() const { return {bytes(), offload()}; }

  // Of addresses, protocol and length.
  std::size_t pseudo_sum(const Bytes& all, std::size_t length) const {
    const std::size_t at = network_at() + (ipv6 ? 8 : 12);
    return plain_sum(all, at, at + (ipv6 ? 32 : 8), (length + protocol()) % 0xffff);
  }
  std::uint8_t protocol() const { return udp ? 17 : 6; }

  // With the bytes in up to four pieces: the headers, and the payload cut where `cuts` say.
  FrameRef frame(FramePool& pool, const std::vector<std::size_t>& cuts = {}) const {
    const Bytes all = bytes();
    FrameRef made = pool.make();
    std::uint8_t* const data = made->segments[0].data;
    std::copy(all.begin(), all.end(), data);
    made->set_bytes(data, static_cast<std::uint32_t>(all.size()));
    for (const std::size_t cut : cuts) {
      Segment& last = made->segments[made->segment_count - 1U];
      if (made->segment_count == Frame::kSegments || cut >= last.size ||
          (made->segment_count == 1 && cut < header_size())) {
        continue;
      }
      made->segments[made->segment_count++] = {last.data + cut,
                                               static_cast<std::uint32_t>(last.size - cut)};
      last.size = static_cast<std::uint32_t>(cut);
    }
    made->offload = offload();
    return made;
  }

  // What is wrong with `wire` as number `index` of the segments that begin at `done` payload bytes;
  // empty when nothing is.
  std::string fault(const Bytes& wire, std::size_t index, std::size_t done) const {
    const Bytes original = bytes();
    const std::size_t wanted =
        segment_size == 0 ? payload : std::min<std::size_t>(segment_size, payload - done);
    if (wire.size() != header_size() + wanted) return "has the wrong size";
    if (!std::equal(wire.begin() + static_cast<std::ptrdiff_t>(header_size()), wire.end(),
                    original.begin() + static_cast<std::ptrdiff_t>(header_size() + done))) {
      return "has not the original's payload";
    }
    Bytes expected(original.begin(), original.begin() + static_cast<std::ptrdiff_t>(header_size()));
    const auto set = [&](std::size_t at, std::size_t word) {
      expected[at] = static_cast<std::uint8_t>(word >> 8);
      expected[at + 1] = static_cast<std::uint8_t>(word);
    };
    const auto take = [&](std::size_t at) { set(at, u16_of(wire, at)); };
    const std::size_t network = network_at();
    const std::size_t transport = transport_at();
    if (ipv6) {
      set(network + 4, wire.size() - network - 40);
    } else {
      set(network + 2, wire.size() - network);
      set(network + 4, (id + index) & 0xffff);
      take(network + 10);
      if (plain_sum(wire, network, transport) != 0xffff) return "has a bad IPv4 checksum";
    }
    if (udp) {
      set(transport + 4, wire.size() - transport);
      take(transport + 6);
    } else {
      const auto at = static_cast<std::uint32_t>(sequence + done);
      set(transport + 4, at >> 16), set(transport + 6, at & 0xffff);
      if (done + wanted != payload) expected[transport + 13] &= 0xf6;
      if (index != 0) expected[transport + 13] &= 0x7f;
      take(transport + 16);
    }
    if (!std::equal(expected.begin(), expected.end(), wire.begin())) return "has a wrong header";
    const std::size_t sum =
        plain_sum(wire, transport, wire.size(), pseudo_sum(wire, wire.size() - transport));
    if (sum != 0xffff) return "has a bad transport checksum";
    if (udp && u16_of(wire, transport + 6) == 0) return "says that it has no checksum";
    return "";
  }
};

}  // namespace lanyard::testing
