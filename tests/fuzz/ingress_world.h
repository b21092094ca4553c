// SPDX-License-Identifier: MIT
//
// A switch whose every cable ends here, and what must be true of it at any time, whatever frames
// and configuration come: a frame reaches only members of its VLAN, with the bytes it had and the
// tag the receiver is due; and every frame is accounted for. Which member it reaches is held
// against what the stations have sent so far; the exact choice is the model test's subject.
//
// Frames lie in memory of exactly their size, so that AddressSanitizer sees a read past their end.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <tuple>
#include <vector>

#include "switch/bridge/switch.h"
#include "tests/fuzz/input.h"
#include "tests/support/memory_endpoint.h"

namespace lanyard::fuzz {

using testing::Bytes;
using testing::WireFrame;

struct FrameShape {
  bool truncated = false;
  std::size_t segments = 1;
  std::size_t copies = 1;
};

class IngressWorld {
 public:
  static constexpr PortId kPorts = 6;

  IngressWorld() : bridge_(settings(), pool_, events_) {
    for (PortId id = 1; id <= 4; ++id) plug(id);
  }

  Switch& bridge() { return bridge_; }
  FramePool& pool() { return pool_; }

  void frame(PortId in, const Bytes& bytes, const FrameShape& shape);
  void flush() {
    bridge_.flush().clear();
    settle();
  }
  void plug(PortId id, std::uint32_t frame_max = kMaxFrameSize);
  // The newest plug of a port; `closing` lets it hang until it is unplugged.
  void close(PortId id, bool at_once);
  // The cable of the newest plug; nullptr when there is none.
  testing::Cable* cable(PortId id);
  void drain(PortId id);
  void forget_port(PortId id) {
    if (bridge_.port(id) == nullptr) tracks_[id] = Track{};
  }
  void settle() {
    bridge_.for_each_port([this](Port& port) { settle(port); });
  }
  void check() const;

 private:
  struct NoEvents final : EventSink {
    void on_event(const Event&) override {}
    bool wants_mac_events() const override { return true; }
  };
  // What the oracle knows of a port: frames on their way to it, and what it has seen.
  struct Track {
    std::deque<Bytes> in_flight;
    std::uint64_t delivered = 0;
    std::uint64_t offered = 0;
    std::uint64_t unplugged = 0;
  };
  // ... and of a plug: what it is due, in order; any of it may be dropped by name.
  struct Station {
    std::shared_ptr<testing::Cable> cable;
    std::deque<Bytes> due;
  };
  struct Admission {
    Drop why = Drop::none;
    VlanId vlan = 0;
    std::uint16_t priority = 0;
    Bytes body;
  };

  static Switch::Settings settings() {
    Switch::Settings settings;
    settings.ports_max = kPorts;
    settings.mac_entries_max = 16;
    return settings;
  }
  FrameRef borrow(const Bytes& bytes, const FrameShape& shape);
  Admission admit(PortId in, const Bytes& bytes, bool truncated) const;
  Bytes as_received(PortId out, const Admission& admitted) const;
  void check_reach(PortId in, const Admission& admitted, const std::set<PortId>& reached) const;
  void settle(Port& port);
  void collect(Track& track, Station& station) const;

  NoEvents events_;
  FramePool pool_;
  std::vector<std::unique_ptr<std::uint8_t[]>> memory_;
  Switch bridge_;
  std::map<PortId, Track> tracks_;
  std::map<const Plug*, Station> stations_;
  std::set<std::tuple<std::uint64_t, VlanId, PortId>> seen_;  // who has ever sent from where
  int next_id_ = 1;
};

inline std::uint16_t u16_at(const Bytes& bytes, std::size_t at) {
  return static_cast<std::uint16_t>(bytes[at] << 8 | bytes[at + 1]);
}

inline MacAddress mac_at(const Bytes& bytes, std::size_t at) {
  std::uint64_t number = 0;
  for (std::size_t i = at; i < at + 6; ++i) number = number << 8 | bytes[i];
  return MacAddress::from_number(number);
}

inline FrameRef IngressWorld::borrow(const Bytes& bytes, const FrameShape& shape) {
  memory_.emplace_back(new std::uint8_t[bytes.size()]);
  std::uint8_t* const data = memory_.back().get();
  std::copy(bytes.begin(), bytes.end(), data);
  FrameRef frame = pool_.borrow(data, static_cast<std::uint32_t>(bytes.size()));
  frame->truncated = shape.truncated;
  // The headers stay together, as the Frame promises.
  constexpr std::size_t kHead = kEthernetHeaderSize + kVlanTagSize;
  for (std::size_t i = 1; i < shape.segments && bytes.size() >= kHead + i; ++i) {
    Segment& last = frame->segments[i - 1];
    const std::uint32_t cut = i == 1 ? std::uint32_t{kHead} : std::uint32_t{1};
    frame->segments[i] = {last.data + cut, last.size - cut};
    last.size = cut;
    frame->segment_count = static_cast<std::uint8_t>(i + 1);
  }
  return frame;
}

// IEEE 802.1Q 6.9 with the meaning VDE gives it, once more and in other words.
inline IngressWorld::Admission IngressWorld::admit(PortId in, const Bytes& bytes,
                                                   bool truncated) const {
  if (bytes.size() < 14) return {Drop::too_short, 0, 0, {}};
  if (truncated) return {Drop::too_long, 0, 0, {}};
  if (bridge_.is_hub()) return {Drop::none, 0, 0, bytes};
  const VlanId native = bridge_.vlans().native(in);
  const Admission untagged{native == 4095 ? Drop::no_native_vlan : Drop::none, native, 0, bytes};
  if (u16_at(bytes, 12) != 0x8100) return untagged;
  if (bytes.size() < 18) return {Drop::truncated_tag, 0, 0, {}};
  const std::uint16_t tci = u16_at(bytes, 14);
  const auto vid = static_cast<VlanId>(tci & 0xfff);
  if (vid == 4095) return {Drop::reserved_vlan, 0, 0, {}};
  const bool member = bridge_.vlans().is_member(vid, in);
  if (!member && vid != 0) {
    return bridge_.port(in)->pass_tags ? untagged : Admission{Drop::not_member, 0, 0, {}};
  }
  if (!member && native == 4095) return untagged;
  Bytes body(bytes.begin(), bytes.begin() + 12);
  body.insert(body.end(), bytes.begin() + 16, bytes.end());
  return {Drop::none, member ? vid : native, static_cast<std::uint16_t>(tci & 0xf000),
          std::move(body)};
}

inline Bytes IngressWorld::as_received(PortId out, const Admission& admitted) const {
  Bytes bytes = admitted.body;
  if (bridge_.is_hub() || !bridge_.vlans().is_tagged(admitted.vlan, out)) return bytes;
  const unsigned tci = admitted.priority | admitted.vlan;
  const Bytes tag{0x81, 0x00, static_cast<std::uint8_t>(tci >> 8), static_cast<std::uint8_t>(tci)};
  bytes.insert(bytes.begin() + 12, tag.begin(), tag.end());
  return bytes;
}

inline void IngressWorld::check_reach(PortId in, const Admission& admitted,
                                      const std::set<PortId>& reached) const {
  const VlanTable& vlans = bridge_.vlans();
  const auto open = [&](PortId id) {
    return bridge_.is_hub() || (vlans.is_member(admitted.vlan, id) &&
                                vlans.state(admitted.vlan, id) == PortState::forwarding);
  };
  std::set<PortId> everybody;
  bridge_.for_each_port([&](const Port& port) {
    if (port.id() != in && port.active() && open(port.id())) everybody.insert(port.id());
  });
  if (!open(in)) everybody.clear();
  require(std::includes(everybody.begin(), everybody.end(), reached.begin(), reached.end()),
          "a frame reaches only active, forwarding members of its VLAN, and not its own port");
  const MacAddress destination = mac_at(admitted.body, 0);
  if (bridge_.is_hub() || destination.is_group()) {
    require(reached == everybody, "a flooded frame reaches everybody");
  } else if (reached != everybody && !reached.empty()) {
    require(reached.size() == 1 &&
                seen_.contains({destination.number(), admitted.vlan, *reached.begin()}),
            "a frame for one station goes where that station has sent from");
  } else if (reached.empty() && !everybody.empty()) {
    require(seen_.contains({destination.number(), admitted.vlan, in}),
            "a frame is not forwarded only when its destination is behind its own port");
  }
}

inline void IngressWorld::frame(PortId in, const Bytes& bytes, const FrameShape& shape) {
  Port* const port = bridge_.port(in);
  if (port == nullptr || !port->active()) return;
  const Admission admitted = admit(in, bytes, shape.truncated);
  std::map<PortId, std::uint64_t> before;
  bridge_.for_each_port([&](const Port& p) { before[p.id()] = p.counters.outgoing.frames; });
  const std::uint64_t named =
      port->counters.drops.of(admitted.why == Drop::none ? Drop::too_short : admitted.why);
  if (admitted.why == Drop::none) {
    const MacAddress source = mac_at(admitted.body, 6);
    seen_.insert({source.number(), admitted.vlan, in});
  }

  FrameBatch batch;
  for (std::size_t i = 0; i < shape.copies && batch.room() != 0; ++i) {
    batch.push(borrow(bytes, shape));
  }
  const std::size_t copies = batch.size();
  bridge_.forward(*port, batch);
  require(batch.empty(), "all frames are taken");

  std::set<PortId> reached;
  bridge_.for_each_port([&](const Port& p) {
    const std::uint64_t got = p.counters.outgoing.frames - before[p.id()];
    require(got == 0 || got == copies, "equal frames go the same way, once");
    if (got != 0) reached.insert(p.id());
  });
  if (admitted.why != Drop::none) {
    require(reached.empty() && port->counters.drops.of(admitted.why) == named + copies,
            "what is not admitted is dropped by its name");
  } else {
    check_reach(in, admitted, reached);
  }
  for (const PortId out : reached) {
    auto& in_flight = tracks_[out].in_flight;
    in_flight.insert(in_flight.end(), copies, as_received(out, admitted));
  }
  settle();
}

inline void IngressWorld::plug(PortId id, std::uint32_t frame_max) {
  if (bridge_.port(id) == nullptr) {
    PlugRequest request;
    request.port = id;
    require(bridge_.port_for(request).ok(), "a port number in range can be had");
  }
  Port& port = *bridge_.port(id);
  if (port.plugs().size() >= 3) return;
  Plug::Traits traits;
  traits.id = next_id_++;
  auto cable = std::make_shared<testing::Cable>();
  cable->frame_max = frame_max;
  Plug& plug = bridge_.plug(port, std::make_unique<testing::MemoryEndpoint>(cable, pool_), traits);
  stations_[&plug] = {std::move(cable), {}};
  // What was pending before it came is for it as well, as if it had been there.
  settle(port);
}

inline void IngressWorld::close(PortId id, bool at_once) {
  Port* const port = bridge_.port(id);
  if (port == nullptr || !port->active()) return;
  Plug& plug = *port->plugs().front();
  plug.closing = true;
  if (!at_once) return;
  const auto station = stations_.find(&plug);
  collect(tracks_[id], station->second);
  bridge_.unplug(plug);
  require(station->second.cable->destroyed, "an endpoint ends with its plug");
  stations_.erase(station);
  if (!port->active()) tracks_[id].in_flight.clear();
  settle(*port);
}

inline testing::Cable* IngressWorld::cable(PortId id) {
  Port* const port = bridge_.port(id);
  if (port == nullptr || !port->active()) return nullptr;
  return stations_.at(port->plugs().front().get()).cable.get();
}

inline void IngressWorld::drain(PortId id) {
  Port* const port = bridge_.port(id);
  if (port == nullptr) return;
  for (const auto& plug : port->plugs()) {
    if (!plug->closing && plug->drain(pool_) == Plug::Drained::empty) {
      plug->waiting_writable = false;
    }
  }
  settle(*port);
}

// What has left the port's pending list since the last time was offered to all of its plugs.
inline void IngressWorld::settle(Port& port) {
  Track& track = tracks_[port.id()];
  require(track.in_flight.size() >= port.pending.size(), "only what was emitted is pending");
  const std::size_t handed = track.in_flight.size() - port.pending.size();
  const PortCounters& c = port.counters;
  require(
      handed == 0 || c.offered != track.offered || c.drops.of(Drop::unplugged) != track.unplugged,
      "what was forwarded to a port is offered to somebody or dropped by name");
  track.offered = c.offered;
  track.unplugged = c.drops.of(Drop::unplugged);
  for (const auto& plug : port.plugs()) {
    Station& station = stations_.at(plug.get());
    if (!plug->closing) {
      station.due.insert(station.due.end(), track.in_flight.begin(),
                         track.in_flight.begin() + static_cast<std::ptrdiff_t>(handed));
    }
    collect(track, station);
  }
  track.in_flight.erase(track.in_flight.begin(),
                        track.in_flight.begin() + static_cast<std::ptrdiff_t>(handed));
}

// Each frame that came out is one that was due, in order; those before it were dropped.
inline void IngressWorld::collect(Track& track, Station& station) const {
  for (const WireFrame& got : station.cable->take()) {
    ++track.delivered;
    require(got.bytes.size() <= station.cable->frame_max, "an endpoint sees only what it takes");
    while (!station.due.empty() && station.due.front() != got.bytes) station.due.pop_front();
    require(!station.due.empty(), "what comes out went in: these bytes, this tag, in this order");
    station.due.pop_front();
  }
}

inline void IngressWorld::check() const {
  std::size_t pending = 0;
  bridge_.for_each_port([&](const Port& port) {
    const PortCounters& c = port.counters;
    std::uint64_t queued = 0;
    for (const auto& plug : port.plugs()) queued += plug->queue().frames();
    require(c.received == c.forwarded + c.drops.incoming(), "what came in is accounted for");
    require(c.offered == c.transmitted + queued + c.drops.outgoing(),
            "what was offered is accounted for");
    require(c.transmitted == tracks_.at(port.id()).delivered, "what is counted as sent was sent");
    pending += port.pending.size();
  });
  require(pending == bridge_.pending_frames(), "the number of pending frames is theirs");
  require(bridge_.macs().size() <= bridge_.macs().entries_max(), "the MAC table is bounded");
}

}  // namespace lanyard::fuzz
