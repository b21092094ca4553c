// SPDX-License-Identifier: MIT
#include "backend/gateway/fragment_reassembler.h"

#include <algorithm>

#include "backend/gateway/packet.h"
#include "switch/frame/ethernet.h"
#include "switch/frame/internet_checksum.h"

namespace lanyard {
namespace {

constexpr std::size_t kIpOffset = 14;
constexpr std::size_t kFragmentHeaderSize = 8;
constexpr std::uint16_t kReserved = 0x8000;
constexpr std::uint16_t kMoreFragments = 0x2000;
constexpr std::uint16_t kOffset = 0x1fff;
constexpr std::size_t kIpPacketMax = 65535;

std::uint16_t load_u16(std::span<const std::uint8_t> bytes, std::size_t at) {
  return static_cast<std::uint16_t>(bytes[at] << 8 | bytes[at + 1]);
}

void store_u16(std::span<std::uint8_t> bytes, std::size_t at, std::size_t value) {
  bytes[at] = static_cast<std::uint8_t>(value >> 8);
  bytes[at + 1] = static_cast<std::uint8_t>(value);
}

}  // namespace

FragmentReassembler::Outcome FragmentReassembler::read(std::span<const std::uint8_t> frame,
                                                       Fragment& fragment) {
  const EthernetView ethernet(frame);
  if (!ethernet.valid()) return Outcome::no_fragment;
  fragment.mac = ethernet.source();
  if (ethernet.type() == kEtherTypeIpv4) return read_ipv4(frame, fragment);
  if (ethernet.type() == kEtherTypeIpv6) return read_ipv6(frame, fragment);
  return Outcome::no_fragment;
}

FragmentReassembler::Outcome FragmentReassembler::read_ipv4(std::span<const std::uint8_t> frame,
                                                            Fragment& fragment) {
  const auto ip = frame.subspan(kIpOffset);
  if (ip.size() < kIpv4HeaderSize || ip[0] >> 4 != 4) return Outcome::no_fragment;
  const std::uint16_t field = load_u16(ip, 6);
  if ((field & (kMoreFragments | kOffset)) == 0) return Outcome::no_fragment;
  const std::size_t total = load_u16(ip, 2);
  // "Don't fragment" says nothing about who has done so already (RFC 6864 4.1).
  if (ip[0] != 0x45 || (field & kReserved) != 0) return Outcome::dropped;
  if (total <= kIpv4HeaderSize || total > ip.size()) return Outcome::dropped;
  if (internet_checksum(ip.first(kIpv4HeaderSize)) != 0) return Outcome::dropped;
  std::copy_n(ip.begin() + 12, 4, fragment.source.begin());
  std::copy_n(ip.begin() + 16, 4, fragment.destination.begin());
  fragment.identification = load_u16(ip, 4);
  fragment.protocol = ip[9];
  fragment.more = (field & kMoreFragments) != 0;
  fragment.offset = (field & kOffset) * std::size_t{8};
  fragment.header = frame.first(kIpOffset + kIpv4HeaderSize);
  fragment.payload = ip.subspan(kIpv4HeaderSize, total - kIpv4HeaderSize);
  return Outcome::held;
}

FragmentReassembler::Outcome FragmentReassembler::read_ipv6(std::span<const std::uint8_t> frame,
                                                            Fragment& fragment) {
  const auto ip = frame.subspan(kIpOffset);
  if (ip.size() < kIpv6HeaderSize || ip[0] >> 4 != 6 || ip[6] != kProtocolFragment) {
    return Outcome::no_fragment;
  }
  const std::size_t size = load_u16(ip, 4);
  if (size <= kFragmentHeaderSize || size > ip.size() - kIpv6HeaderSize) return Outcome::dropped;
  const auto header = ip.subspan(kIpv6HeaderSize, kFragmentHeaderSize);
  const std::uint16_t field = load_u16(header, 2);
  std::copy_n(ip.begin() + 8, 16, fragment.source.begin());
  std::copy_n(ip.begin() + 24, 16, fragment.destination.begin());
  fragment.identification = std::uint32_t{load_u16(header, 4)} << 16 | load_u16(header, 6);
  fragment.protocol = header[0];
  fragment.v6 = true;
  fragment.more = (field & 1) != 0;
  fragment.offset = field & 0xfff8U;
  fragment.header = frame.first(kIpOffset + kIpv6HeaderSize);
  fragment.payload = ip.subspan(kIpv6HeaderSize + kFragmentHeaderSize, size - kFragmentHeaderSize);
  return Outcome::held;
}

bool FragmentReassembler::same(const Fragment& a, const Fragment& b) {
  return a.identification == b.identification && a.v6 == b.v6 && a.protocol == b.protocol &&
         a.mac == b.mac && a.source == b.source && a.destination == b.destination;
}

FragmentReassembler::Outcome FragmentReassembler::add(std::span<const std::uint8_t> frame,
                                                      Time now) {
  Fragment fragment;
  if (const Outcome read_as = read(frame, fragment); read_as != Outcome::held) return read_as;
  expire(now);
  const std::size_t end = fragment.offset + fragment.payload.size();
  const std::size_t header = fragment.v6 ? 0 : kIpv4HeaderSize;  // not counted by IPv6
  if (header + end > kIpPacketMax || (fragment.more && fragment.payload.size() % 8 != 0)) {
    return Outcome::dropped;
  }
  const Place place = find_or_begin(fragment, now);
  if (place == datagrams_.end() || place->spoilt) return Outcome::dropped;
  return take(place, fragment);
}

FragmentReassembler::Place FragmentReassembler::find_or_begin(const Fragment& fragment, Time now) {
  std::size_t of_guest = 0;
  for (Place place = datagrams_.begin(); place != datagrams_.end(); ++place) {
    if (same(place->id, fragment)) return place;
    if (place->id.mac == fragment.mac) ++of_guest;
  }
  if (of_guest >= kDatagramsPerGuest || datagrams_.size() >= kDatagramsMax) {
    return datagrams_.end();
  }
  Datagram& datagram = datagrams_.emplace_back();
  datagram.id = fragment;
  datagram.id.header = {};
  datagram.id.payload = {};
  datagram.begun = now;
  return std::prev(datagrams_.end());
}

bool FragmentReassembler::grow(Datagram& datagram, std::size_t size) {
  if (size <= datagram.bytes.size()) return true;
  const std::size_t more = size - datagram.bytes.size();
  std::size_t of_guest = 0;
  for (const Datagram& other : datagrams_) {
    if (other.id.mac == datagram.id.mac) of_guest += other.bytes.size();
  }
  if (of_guest + more > kBytesPerGuest || bytes_ + more > kBytesMax) return false;
  datagram.bytes.resize(size);
  bytes_ += more;
  return true;
}

FragmentReassembler::Outcome FragmentReassembler::take(Place place, const Fragment& fragment) {
  Datagram& datagram = *place;
  const Range range{fragment.offset, fragment.offset + fragment.payload.size()};
  auto next = std::find_if(datagram.ranges.begin(), datagram.ranges.end(),
                           [&](const Range& other) { return other.end > range.begin; });
  if (next != datagram.ranges.end() && next->begin < range.end) {
    const bool again =
        next->begin == range.begin && next->end == range.end &&
        std::equal(fragment.payload.begin(), fragment.payload.end(),
                   datagram.bytes.begin() + static_cast<std::ptrdiff_t>(range.begin));
    return again ? Outcome::held : spoil(datagram);
  }
  const bool past_end = datagram.size != 0 && (range.end > datagram.size || !fragment.more);
  const bool cuts_off = !fragment.more && next != datagram.ranges.end();
  if (past_end || cuts_off || datagram.ranges.size() >= kFragmentsMax) return spoil(datagram);
  if (!grow(datagram, range.end)) return spoil(datagram);
  if (!fragment.more) datagram.size = range.end;
  if (range.begin == 0) datagram.header.assign(fragment.header.begin(), fragment.header.end());
  std::copy(fragment.payload.begin(), fragment.payload.end(),
            datagram.bytes.begin() + static_cast<std::ptrdiff_t>(range.begin));
  datagram.ranges.insert(next, range);
  std::size_t whole = 0;
  for (const Range& part : datagram.ranges) {
    if (part.begin != whole) return Outcome::held;
    whole = part.end;
  }
  if (datagram.size == 0 || whole != datagram.size) return Outcome::held;
  finish(datagram);
  forget(place);
  return Outcome::complete;
}

// What it took is given back; its rest is known until the time is over.
FragmentReassembler::Outcome FragmentReassembler::spoil(Datagram& datagram) {
  bytes_ -= datagram.bytes.size();
  datagram.spoilt = true;
  datagram.bytes = {};
  datagram.ranges = {};
  datagram.header = {};
  return Outcome::dropped;
}

void FragmentReassembler::finish(const Datagram& datagram) {
  packet_ = datagram.header;
  packet_.insert(packet_.end(), datagram.bytes.begin(), datagram.bytes.end());
  const auto ip = std::span(packet_).subspan(kIpOffset);
  if (datagram.id.v6) {
    store_u16(ip, 4, datagram.size);
    ip[6] = datagram.id.protocol;
    return;
  }
  store_u16(ip, 2, kIpv4HeaderSize + datagram.size);
  store_u16(ip, 6, 0);
  store_u16(ip, 10, 0);
  store_u16(ip, 10, internet_checksum(ip.first(kIpv4HeaderSize)));
}

void FragmentReassembler::forget(Place place) {
  bytes_ -= place->bytes.size();
  datagrams_.erase(place);
}

void FragmentReassembler::expire(Time now) {
  while (!datagrams_.empty() && now - datagrams_.front().begun >= kTimeout) {
    forget(datagrams_.begin());
  }
}

}  // namespace lanyard
