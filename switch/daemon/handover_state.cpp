// SPDX-License-Identifier: MIT
#include "switch/daemon/handover_state.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <set>

#include "switch/base/version.h"
#include "switch/daemon/handover_fields.h"
#include "switch/frame/frame.h"

namespace lanyard {

// ---- which number is which member. A number is never used again for something else. ----

template <class Archive>
void fields(Archive& a, RateSettings& r) {
  a(1, r.per_second);
  a(2, r.burst);
}

template <class Archive>
void fields(Archive& a, GuardSettings& g) {
  a(1, g.trusted);
  a(2, g.isolated);
  a(3, g.promiscuous);
  a(4, g.max_macs);
  a(5, g.sticky);
  a(6, g.macs);
  a(7, g.on_violation);
  a(8, g.dhcp_guard);
  a(9, g.dhcpv6_guard);
  a(10, g.ra_guard);
  a(11, g.ip_source_guard);
  a(12, g.arp_inspection);
  a(13, g.bpdu_guard);
  a(14, g.root_guard);
  a(15, g.broadcast_pps);
  a(16, g.multicast_pps);
  a(17, g.unknown_pps);
  a(18, g.rate_in);
  a(19, g.rate_out);
  a(20, g.bandwidth_group);
}

template <class Archive>
void fields(Archive& a, BandwidthGroup& g) {
  a(1, g.name);
  a(2, g.rate);
}

template <class Archive>
void fields(Archive& a, Binding& b) {
  std::string address = b.address.text();
  a(1, address);
  b.address = IpAddress::parse(address).value_or(IpAddress());
  a(2, b.vlan);
  a(3, b.mac);
  a(4, b.port);
  a(5, b.origin);
  a(6, b.expires);
  a(7, b.used);
}

template <class Archive>
void fields(Archive& a, PortConfiguration& p) {
  a(1, p.id);
  a(2, p.native_vlan);
  a(3, p.tagged_vlans);
  a(4, p.allocatable);
  a(5, p.reserved);
  a(6, p.link_up);
  a(7, p.pass_tags);
  a(8, p.user_allowed);
  a(9, p.group_allowed);
  a(10, p.queue_bytes_max);
  a(11, p.guard);
  a(12, p.guard_chosen);
  a(13, p.sticky_macs);
}

template <class Archive>
void fields(Archive& a, VlanTreeState& t) {
  a(1, t.vlan);
  a(2, t.edges);
  a(3, t.bonus_port);
  a(4, t.bonus);
}

template <class Archive>
void fields(Archive& a, SpanningTreeState& t) {
  a(1, t.running);
  a(2, t.priority);
  a(3, t.vlans);
  a(4, t.bpdu_guards);
  a(5, t.root_guards);
}

template <class Archive>
void fields(Archive& a, SwitchState& s) {
  a(1, s.mac);
  a(2, s.ports_max);
  a(3, s.hub);
  a(4, s.mac_expire_s);
  a(5, s.mac_hold_s);
  a(6, s.shown_buckets);
  a(7, s.pass_tags_by_default);
  a(8, s.vlans);
  a(9, s.ports);
  a(10, s.spanning_tree);
  a(11, s.guard_by_default);
  a(12, s.bandwidth_groups);
  a(13, s.bindings);
}

template <class Archive>
void fields(Archive& a, HeldDescriptor& h) {
  a(1, h.number);
  a(2, h.since);
  a(3, h.drain);
  a(4, h.exclusive);
}

template <class Archive>
void fields(Archive& a, HandoverPart& p) {
  a(1, p.kind);
  a(2, p.place);
  a(3, p.values);
  a(4, p.descriptors);
  a(5, p.parts);
}

template <class Archive>
void fields(Archive& a, CountersRecord& c) {
  a(1, c.port);
  a(2, c.incoming_frames);
  a(3, c.incoming_bytes);
  a(4, c.outgoing_frames);
  a(5, c.outgoing_bytes);
  a(6, c.received);
  a(7, c.forwarded);
  a(8, c.offered);
  a(9, c.transmitted);
  a(10, c.drops);
}

template <class Archive>
void fields(Archive& a, Offload& o) {
  a(1, o.segmentation);
  a(2, o.needs_checksum);
  a(3, o.segment_size);
  a(4, o.header_size);
  a(5, o.checksum_start);
  a(6, o.checksum_offset);
}

template <class Archive>
void fields(Archive& a, FrameRecord& f) {
  a(1, f.bytes);
  a(2, f.priority);
  a(3, f.vlan);
  a(4, f.tagged);
  a(5, f.offload);
}

template <class Archive>
void fields(Archive& a, QueueRecord& q) {
  a(1, q.port);
  a(2, q.plug);
  a(3, q.frames);
}

namespace {

// Stations are many and all alike: one field of 16 bytes each.
constexpr std::size_t kStationSize = 16;

std::string pack(const std::vector<StationRecord>& stations) {
  std::string bytes;
  bytes.reserve(stations.size() * kStationSize);
  for (const StationRecord& one : stations) {
    append_little_endian(bytes, one.mac.number(), 8);
    append_little_endian(bytes, one.vlan, 2);
    append_little_endian(bytes, one.port, 2);
    append_little_endian(bytes, one.age_s, 4);
  }
  return bytes;
}

std::vector<StationRecord> unpack(std::string_view bytes) {
  std::vector<StationRecord> stations;
  stations.reserve(bytes.size() / kStationSize);
  for (; bytes.size() >= kStationSize; bytes.remove_prefix(kStationSize)) {
    stations.push_back({MacAddress::from_number(little_endian_at(bytes, 0, 8)),
                        static_cast<VlanId>(little_endian_at(bytes, 8, 2)),
                        static_cast<PortId>(little_endian_at(bytes, 10, 2)),
                        static_cast<std::uint32_t>(little_endian_at(bytes, 12, 4))});
  }
  return stations;
}

}  // namespace

template <class Archive>
void fields(Archive& a, SwitchRecord& s) {
  a(1, s.name);
  a(2, s.state);
  a(3, s.parts);
  if constexpr (std::is_same_v<Archive, FieldReader>) {
    std::string stations;
    a(4, stations);
    s.stations = unpack(stations);
  } else {
    a(4, pack(s.stations));
  }
  a(5, s.counters);
  a(6, s.queues);
}

template <class Archive>
void fields(Archive& a, HandoverState& s) {
  a(1, s.writer);
  a(2, s.sealed);
  a(3, s.started);
  a(4, s.configuration);
  a(5, s.values);
  a(6, s.switches);
  a(7, s.parts);
}

namespace {

// ---- the head: magic word, format, oldest format that reads it, CRC, length ----

constexpr std::string_view kMagic = "LANYARD\x01";
constexpr std::size_t kHeadSize = 8 + 4 + 4 + 4 + 8;

Error unreadable(std::string why) {
  return {EBADMSG, fmt::format("the hand-over state cannot be read: {}", why)};
}

Result<void> check_parts(const std::vector<HandoverPart>& parts, std::set<int>& numbers) {
  for (const HandoverPart& part : parts) {
    for (const HeldDescriptor& held : part.descriptors) {
      if (held.number < 0) return unreadable(fmt::format("descriptor {}", held.number));
      if (!numbers.insert(held.number).second) {
        return unreadable(fmt::format("two parts have descriptor {}", held.number));
      }
    }
    if (Result<void> fine = check_parts(part.parts, numbers); !fine) return fine;
  }
  return {};
}

// Whoever cuts or sums a frame later trusts what it owes.
bool is_possible(const FrameRecord& frame) {
  const std::size_t size = frame.bytes.size();
  const Offload& owed = frame.offload;
  if (size < kEthernetHeaderSize || size > kMaxFrameSize || frame.vlan > kVlanMax) return false;
  if (owed.segmentation > Offload::Segmentation::udp) return false;
  const bool cut = owed.segmentation != Offload::Segmentation::none;
  if (cut && (owed.segment_size == 0 || owed.header_size <= owed.checksum_start ||
              owed.header_size >= size || !owed.needs_checksum)) {
    return false;
  }
  return !owed.needs_checksum ||
         std::size_t{owed.checksum_start} + owed.checksum_offset + 2 <= size;
}

bool is_possible(const GuardSettings& guard) {
  return guard.promiscuous <= PromiscuousPolicy::allow_all &&
         guard.on_violation <= ViolationAction::shut;
}

Result<void> check_switch(const SwitchRecord& one) {
  std::set<PortId> ports;
  const auto known = [](const Binding& b) { return b.origin <= Binding::Origin::first_come; };
  if (!is_possible(one.state.guard_by_default) ||
      !std::all_of(one.state.bindings.begin(), one.state.bindings.end(), known)) {
    return unreadable("what ports are born with, or a binding");
  }
  for (const PortConfiguration& port : one.state.ports) {
    if (port.id > one.state.ports_max || !ports.insert(port.id).second) {
      return unreadable(fmt::format("port {} of {} ports, or twice", port.id, one.state.ports_max));
    }
    if (!is_possible(port.guard)) return unreadable(fmt::format("the guard of port {}", port.id));
  }
  for (const StationRecord& station : one.stations) {
    if (!ports.contains(station.port) || station.vlan > kVlanMax) {
      return unreadable(fmt::format("station {} behind port {} in VLAN {}", station.mac.text(),
                                    station.port, station.vlan));
    }
  }
  for (const QueueRecord& queue : one.queues) {
    for (const FrameRecord& frame : queue.frames) {
      if (!is_possible(frame)) {
        return unreadable(fmt::format("a frame of {} bytes that waits for port {}",
                                      frame.bytes.size(), queue.port));
      }
    }
  }
  return {};
}

Result<void> check(const HandoverState& state) {
  std::set<int> numbers;
  if (Result<void> fine = check_parts(state.parts, numbers); !fine) return fine;
  for (const SwitchRecord& one : state.switches) {
    if (Result<void> fine = check_parts(one.parts, numbers); !fine) return fine;
    if (Result<void> fine = check_switch(one); !fine) return fine;
  }
  return {};
}

using CrcTables = std::array<std::array<std::uint32_t, 256>, 8>;

constexpr CrcTables make_crc_tables() {
  constexpr std::uint32_t kPolynomial = 0x82f63b78;  // reflected
  CrcTables tables{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 1U) != 0 ? crc >> 1 ^ kPolynomial : crc >> 1;
    tables[0][byte] = crc;
  }
  for (std::size_t byte = 0; byte < 256; ++byte) {
    for (std::size_t k = 1; k < 8; ++k) {
      const std::uint32_t before = tables[k - 1][byte];
      tables[k][byte] = before >> 8 ^ tables[0][before & 0xff];
    }
  }
  return tables;
}

constexpr CrcTables kCrcTables = make_crc_tables();

}  // namespace

// Eight bytes a step (slicing-by-8): a sealed state with a full MAC table is megabytes, and frames
// wait meanwhile.
std::uint32_t crc32c(std::string_view bytes) {
  std::uint32_t crc = ~0U;
  for (; bytes.size() >= 8; bytes.remove_prefix(8)) {
    const std::uint64_t eight = little_endian_at(bytes, 0, 8) ^ crc;
    crc = 0;
    for (std::size_t k = 0; k < 8; ++k) crc ^= kCrcTables[7 - k][eight >> (8 * k) & 0xff];
  }
  for (const char c : bytes) {
    crc = crc >> 8 ^ kCrcTables[0][(crc ^ static_cast<std::uint8_t>(c)) & 0xff];
  }
  return ~crc;
}

std::string encode_handover(const HandoverState& state) {
  FieldWriter writer;
  fields(writer, const_cast<HandoverState&>(state));
  const std::string body = writer.take();
  std::string bytes(kMagic);
  append_little_endian(bytes, kHandoverFormat, 4);
  append_little_endian(bytes, kHandoverFormatOldest, 4);
  append_little_endian(bytes, crc32c(body), 4);
  append_little_endian(bytes, body.size(), 8);
  bytes += body;
  return bytes;
}

Result<HandoverState> decode_handover(std::string_view bytes) {
  if (bytes.size() < kHeadSize) {
    return unreadable(fmt::format("{} bytes are too few", bytes.size()));
  }
  if (!bytes.starts_with(kMagic)) return unreadable("it does not begin as one");
  const std::uint64_t format = little_endian_at(bytes, 8, 4);
  const std::uint64_t readable_from = little_endian_at(bytes, 12, 4);
  if (format < kHandoverFormatOldest || readable_from > kHandoverFormat) {
    return unreadable(fmt::format(
        "it has format {}, readable from format {} on; this program ({}) reads formats "
        "{} to {}",
        format, readable_from, LANYARD_VERSION, kHandoverFormatOldest, kHandoverFormat));
  }
  const std::string_view body = bytes.substr(kHeadSize);
  if (const std::uint64_t size = little_endian_at(bytes, 20, 8); size != body.size()) {
    return unreadable(fmt::format("it should have {} bytes and has {}", size, body.size()));
  }
  const std::uint64_t sum = little_endian_at(bytes, 16, 4);
  if (const std::uint32_t found = crc32c(body); found != sum) {
    return unreadable(fmt::format("its checksum is {:08x} and should be {:08x}", found, sum));
  }
  FieldReader reader(body);
  HandoverState state;
  if (!reader.trouble()) fields(reader, state);
  if (reader.trouble()) return unreadable(*reader.trouble());
  if (Result<void> fine = check(state); !fine) return fine.error();
  return state;
}

std::vector<HeldDescriptor> descriptors_of(const HandoverState& state) {
  std::vector<HeldDescriptor> all;
  for_each_descriptor(const_cast<HandoverState&>(state),
                      [&](const HeldDescriptor& held) { all.push_back(held); });
  return all;
}

}  // namespace lanyard
