// SPDX-License-Identifier: MIT
//
// The data side of the switch. A frame's way is Switch::forward; everything else here is a leaf.
#include <algorithm>

#include "switch/bridge/spanning_tree.h"
#include "switch/bridge/switch.h"
#include "switch/frame/frame_pool.h"
#include "switch/frame/settler.h"

namespace lanyard {
namespace {

// Up to here the MAC table stays in the nearer caches by itself.
constexpr std::size_t kCachedStations = 4096;

// The group address of bridges (IEEE 802.1D table 7-10).
bool is_bpdu(const Frame& frame) {
  return EthernetView(frame.head()).destination().number() == 0x0180c2000000;
}

}  // namespace

// What forward() does behind the filters.
void Switch::relay(Port& in, FrameBatch& batch) {
  in.counters.received += batch.size();
  if (!in.link_up) {
    in.counters.drops.count(Drop::link_admin_down, batch.size());
    return batch.clear();
  }
  if (hub_) return forward_hub(in, batch);
  if (macs_.size() > kCachedStations) prefetch_stations(in.id(), batch);
  for (FrameRef& frame : batch) {
    if (frame->size >= kEthernetHeaderSize) in.counters.incoming.count(frame->size);
    if (const Drop why = admit(in, *frame); why != Drop::none) {
      in.counters.drops.count(why);
      continue;
    }
    if (takes_bpdus_ && is_bpdu(*frame)) {
      spanning_tree_->receive(in.id(), *frame);
      in.counters.drops.count(Drop::bpdu);
      continue;
    }
    if (in.guard != nullptr) {
      if (const Drop why = guards_.check(in, *frame, now_); why != Drop::none) {
        in.counters.drops.count(why);
        continue;
      }
    }
    const EthernetView ethernet(frame->head());
    const VlanPlan& plan = vlans_.plan(frame->vlan);
    if (const Drop why = learn(in, plan, ethernet.source(), frame->vlan); why != Drop::none) {
      in.counters.drops.count(why);
      continue;
    }
    const Decision decision = decide(in.id(), plan, ethernet.destination(), frame->vlan);
    switch (decision.kind) {
      case Decision::Kind::drop: in.counters.drops.count(decision.why); break;
      case Decision::Kind::one:
        ++in.counters.forwarded;
        if (guards_.has_listeners()) show_listeners(in.id(), decision.port, plan, frame);
        emit(*ports_[decision.port], plan.tagged.has(decision.port), std::move(frame));
        break;
      case Decision::Kind::flood:
        if (const Drop why = flood(in, plan, frame); why != Drop::none) {
          in.counters.drops.count(why);
        } else {
          ++in.counters.forwarded;
        }
        break;
    }
  }
  batch.clear();
  if (in.guard != nullptr) end_if_shut(in);
}

// With many stations each look-up waits for memory; over a batch the waits can overlap. Tagged
// frames are guessed wrong, which costs nothing but the guess.
void Switch::prefetch_stations(PortId in, FrameBatch& batch) const {
  const VlanId vlan = vlans_.native(in);
  for (const FrameRef& frame : batch) {
    const EthernetView ethernet(frame->head());
    if (!ethernet.valid()) continue;
    macs_.prefetch(ethernet.source(), vlan);
    macs_.prefetch(ethernet.destination(), vlan);
  }
}

// A hub repeats whatever is a frame at all; tags are none of its business.
void Switch::forward_hub(Port& in, FrameBatch& batch) {
  for (FrameRef& frame : batch) {
    if (frame->size < kEthernetHeaderSize) {
      in.counters.drops.count(Drop::too_short);
      continue;
    }
    in.counters.incoming.count(frame->size);
    if (frame->truncated || !is_sound(*frame)) {
      in.counters.drops.count(frame->truncated ? Drop::too_long : Drop::malformed_offload);
      continue;
    }
    if (const Drop why = repeat(in, frame); why != Drop::none) {
      in.counters.drops.count(why);
    } else {
      ++in.counters.forwarded;
    }
  }
  batch.clear();
  if (in.guard != nullptr) end_if_shut(in);
}

Drop Switch::repeat(Port& in, const FrameRef& frame) {
  if (in.guard != nullptr) {
    if (const Drop why = guards_.check(in, *frame, now_); why != Drop::none) return why;
    if (const Drop why = guards_.storm(in, *frame, now_); why != Drop::none) return why;
  }
  bool delivered = false;
  Drop why = Drop::no_receiver;
  for (const PortId id : active_) {
    if (id == in.id()) continue;
    if (guards_.isolates(in.id(), id)) {
      why = Drop::isolated;
      continue;
    }
    emit(*ports_[id], false, frame.share());
    delivered = true;
  }
  return delivered ? Drop::none : why;
}

// A guard asked for its cable to be pulled.
void Switch::end_if_shut(Port& port) {
  if (!Guards::take_shut(port)) return;
  // It exists, so this cannot fail.
  if (Result<void> down = set_link(port.id(), false); !down) return;
}

// Ingress classification (IEEE 802.1Q 6.9): whole, and in which VLAN. A tag that names a VLAN is
// taken out of the bytes.
Drop Switch::admit(const Port& in, Frame& frame) const {
  const EthernetView ethernet(frame.head());
  if (!ethernet.valid()) return Drop::too_short;
  if (frame.truncated) return Drop::too_long;
  if (!is_sound(frame)) return Drop::malformed_offload;
  if (ethernet.type() == kEtherTypeVlan) return admit_tagged(in, frame);
  const Classification untagged = classify(in, std::nullopt);
  frame.vlan = untagged.vlan;
  return untagged.why;
}

Drop Switch::admit_tagged(const Port& in, Frame& frame) const {
  const std::optional<std::uint16_t> tci = EthernetView(frame.head()).tci();
  if (!tci) return Drop::truncated_tag;
  const Classification tagged = classify(in, static_cast<VlanId>(*tci & kTciVlanMask));
  frame.vlan = tagged.vlan;
  if (tagged.takes_tag) {
    frame.priority = *tci & kTciPriorityMask;
    frame.pop_tag();
  }
  return tagged.why;
}

Switch::Classification Switch::classify(const Port& in, std::optional<VlanId> tag) const {
  if (tag == kVlanNone) return {Drop::reserved_vlan};
  if (tag && vlans_.is_member(*tag, in.id())) return {Drop::none, *tag, true};
  // A priority tag (VID 0) belongs to the untagged VLAN; so does, with its tag as payload, what a
  // port that passes tags carries for VLANs the switch does not know.
  if (tag.value_or(0) != 0 && !in.pass_tags) return {Drop::not_member};
  const VlanId native = vlans_.native(in.id());
  if (native == kVlanNone) return {Drop::no_native_vlan};
  return {Drop::none, native, tag == VlanId{0}};
}

Drop Switch::learn(Port& in, const VlanPlan& plan, MacAddress source, VlanId vlan) {
  // Group and zero addresses are no stations (IEEE 802.1D 7.8).
  const PortId id = in.id();
  if (!plan.learning.has(id) || source.is_group() || source.is_zero()) return Drop::none;
  if (macs_.refresh(source, vlan, id, now_s_)) return Drop::none;
  if (in.guard != nullptr) {
    if (const Drop why = guards_.may_learn(in, source, vlan, now_); why != Drop::none) return why;
  }
  report_learned(macs_.learn(source, vlan, id, now_s_), source, vlan, id);
  return Drop::none;
}

void Switch::report_learned(const MacTable::LearnResult& learned, MacAddress mac, VlanId vlan,
                            PortId in) {
  Event event;
  event.mac = mac;
  event.vlan = vlan;
  event.port = in;
  if (learned.from != kPortNone) {
    event.kind = Event::Kind::mac_moved;
    event.port = learned.from;
    event.other = in;
    events_.on_event(event);
    return;
  }
  if (!events_.wants_mac_events()) return;
  if (learned.evicted) {
    Event gone;
    gone.kind = Event::Kind::mac_forgotten;
    gone.mac = learned.evicted->mac;
    gone.vlan = learned.evicted->vlan;
    gone.port = learned.evicted->port;
    events_.on_event(gone);
  }
  event.kind = Event::Kind::mac_learned;
  events_.on_event(event);
}

Decision Switch::decide(PortId in, const VlanPlan& plan, MacAddress destination,
                        VlanId vlan) const {
  if (!plan.forwarding.has(in)) return {Decision::Kind::drop, Drop::discarding, kPortNone};
  if (destination.is_group()) return {Decision::Kind::flood, Drop::none, kPortNone};
  const PortId out = macs_.find(destination, vlan);
  if (out == in) return {Decision::Kind::drop, Drop::same_port, kPortNone};
  // An entry whose port no longer forwards in this VLAN is as good as none.
  if (out == kPortNone || !plan.forwarding.has(out) || !vlans_.is_active(out)) {
    return {Decision::Kind::flood, Drop::none, kPortNone};
  }
  if (guards_.isolates(in, out)) return {Decision::Kind::drop, Drop::isolated, kPortNone};
  return {Decision::Kind::one, Drop::none, out};
}

// To every active member but the one it came from, and those isolated from it.
Drop Switch::flood(Port& in, const VlanPlan& plan, const FrameRef& frame) {
  if (in.guard != nullptr) {
    if (const Drop why = guards_.storm(in, *frame, now_); why != Drop::none) return why;
  }
  const bool isolated = guards_.is_isolated(in.id());
  bool delivered = false;
  Drop why = Drop::no_receiver;
  for (const VlanMember& member : plan.flood) {
    if (member.port == in.id()) continue;
    if (isolated && guards_.is_isolated(member.port)) {
      why = Drop::isolated;
      continue;
    }
    emit(*ports_[member.port], member.tagged, frame.share());
    delivered = true;
  }
  return delivered ? Drop::none : why;
}

// Copies for the ports that may see what is for others.
void Switch::show_listeners(PortId in, PortId out, const VlanPlan& plan, const FrameRef& frame) {
  guards_.for_each_listener(in, out, [&](PortId id) {
    if (!plan.forwarding.has(id) || !vlans_.is_active(id) || guards_.isolates(in, id)) return;
    emit(*ports_[id], plan.tagged.has(id), frame.share());
  });
}

void Switch::emit(Port& out, bool tagged, FrameRef&& frame) {
  out.counters.outgoing.count(frame->size + (tagged ? kVlanTagSize : 0));
  if (tagged) {
    out.pending.add().set_tagged(std::move(frame));
  } else {
    out.pending.add().set_untagged(std::move(frame));
  }
  ++pending_frames_;
  if (!out.dirty) {
    dirty_.push_back(&out);
    out.dirty = true;
  }
  if (out.pending.room() == 0) flush_port(out);
}

void Switch::send_own(PortId out, VlanId vlan, std::span<const std::uint8_t> bytes) {
  if (!vlans_.is_active(out) || !vlans_.is_member(vlan, out)) return;
  FrameRef frame = pool_.make();
  std::copy(bytes.begin(), bytes.end(), frame->segments[0].data);
  frame->set_bytes(frame->segments[0].data, static_cast<std::uint32_t>(bytes.size()));
  frame->vlan = vlan;
  emit(*ports_[out], vlans_.is_tagged(vlan, out), std::move(frame));
}

std::vector<Plug*>& Switch::flush() {
  for (Port* port : dirty_) {
    port->dirty = false;
    flush_port(*port);
  }
  dirty_.clear();
  return backlogged_;
}

void Switch::flush_port(Port& port) {
  if (port.pending.empty()) return;
  pending_frames_ -= port.pending.size();
  if (port.guard != nullptr) limit_rate(port);
  if (!filters_.empty()) [[unlikely]]
    filters_.egress(port, port.pending);
  deliver(port, port.pending.view());
  port.pending.clear();
}

void Switch::deliver(Port& port, std::span<Outgoing> frames) {
  if (frames.empty()) return;
  for (const auto& plug : port.plugs()) {
    if (plug->closing) {
      port.counters.offered += frames.size();
      port.counters.drops.count(Drop::unplugged, frames.size());
      continue;
    }
    plug->send(frames, pool_);
    if (plug->has_backlog() && !plug->waiting_writable) {
      backlogged_.push_back(plug.get());
      plug->waiting_writable = true;
    }
  }
}

void Switch::resume_ingress(PortId in, const Filter* held_by, FrameBatch& batch) {
  Port* const from = port(in);
  if (from == nullptr) return batch.clear();
  filters_.ingress(*from, batch, held_by);
  relay(*from, batch);
}

void Switch::resume_egress(PortId out, const Filter* held_by, EgressBatch& batch) {
  Port* const to = port(out);
  if (to == nullptr) return batch.clear();
  filters_.egress(*to, batch, held_by);
  if (to->carries()) {
    deliver(*to, batch.view());
  } else {
    to->counters.offered += batch.size();
    to->counters.drops.count(to->active() ? Drop::cable_pulled : Drop::unplugged, batch.size());
  }
  batch.clear();
}

// Drops of what is pending what the port may not get.
void Switch::limit_rate(Port& port) {
  TokenBucket& bucket = port.guard->out;
  if (!bucket.limits()) return;
  std::size_t kept = 0;
  for (Outgoing& out : port.pending) {
    if (!bucket.take(out.wire_size(), now_)) continue;
    Outgoing& to = port.pending[kept++];
    if (&to != &out) to = std::move(out);
  }
  const std::size_t dropped = port.pending.size() - kept;
  if (dropped == 0) return;
  port.pending.keep_first(kept);
  port.counters.offered += dropped;
  port.counters.drops.count(Drop::rate_limit_out, dropped);
  guards_.tell_limited(port, dropped, now_);
}

}  // namespace lanyard
