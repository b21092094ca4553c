// SPDX-License-Identifier: MIT
//
// Puts the fragments of guests' IP packets together, before any service reads them: pings and DNS
// come in pieces, too, and libslirp's own reassembly has memory errors that Debian 12 keeps, so no
// fragment may reach it.
//
// What makes it hard: whoever sends first fragments only makes us keep them, and whoever sends two
// that overlap makes two readers see two packets. So datagrams, fragments and bytes are bounded,
// for each guest and in all; what is not whole after kTimeout is given up; and an overlap spoils
// the whole datagram (RFC 5722), which stays known as spoilt so that its rest does not begin
// another. An exact repetition is no overlap (RFC 8200 4.5). What comes out is one IPv4 packet
// without options or IPv6 packet without extensions, yet unchecked otherwise. Time is a parameter.
// Gateway thread only.
#pragma once

#include <array>
#include <cstdint>
#include <list>
#include <span>
#include <utility>
#include <vector>

#include "switch/base/time.h"
#include "switch/frame/mac_address.h"

namespace lanyard {

class FragmentReassembler {
 public:
  static constexpr Duration kTimeout = std::chrono::seconds(15);
  static constexpr std::size_t kDatagramsPerGuest = 16;
  static constexpr std::size_t kDatagramsMax = 256;
  static constexpr std::size_t kBytesPerGuest = 512 * 1024;
  static constexpr std::size_t kBytesMax = 4 * 1024 * 1024;
  static constexpr std::size_t kFragmentsMax = 128;  // of a datagram: 64 KiB at an MTU of 576

  enum class Outcome : std::uint8_t {
    no_fragment,  // for others, as it is
    held,
    complete,  // take() is it
    dropped,
  };

  Outcome add(std::span<const std::uint8_t> frame, Time now);
  // The Ethernet frame with the whole packet, after `complete`.
  std::vector<std::uint8_t> take() { return std::move(packet_); }
  void expire(Time now);

  std::size_t datagrams() const { return datagrams_.size(); }
  std::size_t bytes() const { return bytes_; }

 private:
  struct Fragment {
    MacAddress mac;
    std::array<std::uint8_t, 16> source{};  // of IPv4 the first four
    std::array<std::uint8_t, 16> destination{};
    std::uint32_t identification = 0;
    std::uint8_t protocol = 0;
    bool v6 = false;
    bool more = false;
    std::size_t offset = 0;
    std::span<const std::uint8_t> header;  // Ethernet and IP, without the fragment header
    std::span<const std::uint8_t> payload;
  };
  struct Range {
    std::size_t begin = 0;
    std::size_t end = 0;
  };
  struct Datagram {
    Fragment id;  // of the first that came; its spans are not used
    Time begun{0};
    bool spoilt = false;
    std::size_t size = 0;              // 0: the last one has not come
    std::vector<std::uint8_t> header;  // of the fragment at 0
    std::vector<std::uint8_t> bytes;
    std::vector<Range> ranges;  // sorted, apart
  };
  using Place = std::list<Datagram>::iterator;

  static Outcome read(std::span<const std::uint8_t> frame, Fragment& fragment);
  static Outcome read_ipv4(std::span<const std::uint8_t> frame, Fragment& fragment);
  static Outcome read_ipv6(std::span<const std::uint8_t> frame, Fragment& fragment);
  static bool same(const Fragment& a, const Fragment& b);

  Place find_or_begin(const Fragment& fragment, Time now);
  bool grow(Datagram& datagram, std::size_t size);
  Outcome take(Place place, const Fragment& fragment);
  Outcome spoil(Datagram& datagram);
  void finish(const Datagram& datagram);
  void forget(Place place);

  std::list<Datagram> datagrams_;  // oldest first
  std::size_t bytes_ = 0;
  std::vector<std::uint8_t> packet_;
};

}  // namespace lanyard
