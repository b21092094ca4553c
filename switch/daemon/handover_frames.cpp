// SPDX-License-Identifier: MIT
#include "switch/daemon/handover_frames.h"

#include <algorithm>
#include <cstring>

#include "switch/frame/frame_pool.h"

namespace lanyard {
namespace {

FrameRecord record_of(const Outgoing& out) {
  const Frame& frame = *out.frame;
  FrameRecord record;
  record.bytes.reserve(frame.size);
  for (std::size_t i = 0; i < frame.segment_count; ++i) {
    record.bytes.append(reinterpret_cast<const char*>(frame.segments[i].data),
                        frame.segments[i].size);
  }
  record.priority = frame.priority;
  record.vlan = frame.vlan;
  record.tagged = out.tagged;
  record.offload = frame.offload;
  return record;
}

Outgoing outgoing_of(const FrameRecord& record, FramePool& pool) {
  FrameRef frame = pool.make();
  std::memcpy(frame->segments[0].data, record.bytes.data(), record.bytes.size());
  frame->set_bytes(frame->segments[0].data, static_cast<std::uint32_t>(record.bytes.size()));
  frame->priority = record.priority;
  frame->vlan = record.vlan;
  frame->offload = record.offload;
  return record.tagged ? Outgoing::with_tag(std::move(frame))
                       : Outgoing::untagged(std::move(frame));
}

// A queue gives its frames only in their order, so they are taken out and put back.
std::vector<FrameRecord> copy_queue(FrameQueue& queue, FramePool& pool) {
  std::vector<FrameRecord> records;
  EgressBatch batch;
  while (!queue.empty()) {
    queue.peek(pool, batch);
    for (const Outgoing& out : batch.view()) records.push_back(record_of(out));
    const std::size_t count = batch.size();
    batch.clear();
    queue.pop(count);
  }
  for (const FrameRecord& record : records) queue.push(outgoing_of(record, pool));
  return records;
}

CountersRecord record_of(const Port& port) {
  const PortCounters& c = port.counters;
  CountersRecord record;
  record.port = port.id();
  record.incoming_frames = c.incoming.frames;
  record.incoming_bytes = c.incoming.bytes;
  record.outgoing_frames = c.outgoing.frames;
  record.outgoing_bytes = c.outgoing.bytes;
  record.received = c.received;
  record.forwarded = c.forwarded;
  record.offered = c.offered;
  record.transmitted = c.transmitted;
  for (std::size_t i = 0; i < kDropReasons; ++i) {
    if (const std::uint64_t count = c.drops.of(static_cast<Drop>(i)); count != 0) {
      record.drops[std::string(kDropTexts[i].name)] = count;
    }
  }
  return record;
}

void restore_counters(const CountersRecord& record, PortCounters& counters) {
  counters = {};
  counters.incoming = {record.incoming_frames, record.incoming_bytes};
  counters.outgoing = {record.outgoing_frames, record.outgoing_bytes};
  counters.received = record.received;
  counters.forwarded = record.forwarded;
  counters.offered = record.offered;
  counters.transmitted = record.transmitted;
  for (std::size_t i = 0; i < kDropReasons; ++i) {
    const auto found = record.drops.find(std::string(kDropTexts[i].name));
    if (found != record.drops.end()) counters.drops.count(static_cast<Drop>(i), found->second);
  }
}

}  // namespace

void seal_frames(Switch& bridge, FramePool& pool, SwitchRecord& into) {
  const MacTable& macs = bridge.macs();
  macs.visit_from(0, bridge.now_s(), [&](const MacEntry& entry) {
    into.stations.push_back({entry.mac, entry.vlan, entry.port, entry.age_s});
    return true;
  });
  bridge.for_each_port([&](const Port& port) {
    into.counters.push_back(record_of(port));
    for (const auto& plug : port.plugs()) {
      if (plug->closing || plug->queue().empty()) continue;
      into.queues.push_back({port.id(), plug->traits().id, copy_queue(plug->queue(), pool)});
    }
  });
}

void restore_frames(const SwitchRecord& record, FramePool& pool, Switch& bridge, Lane& lane) {
  for (const StationRecord& station : record.stations) {
    const Port* const port = bridge.port(station.port);
    if (port == nullptr || !port->carries()) continue;
    bridge.macs().learn(station.mac, station.vlan, station.port, bridge.now_s() - station.age_s);
  }
  for (const CountersRecord& counters : record.counters) {
    if (Port* const port = bridge.port(counters.port)) restore_counters(counters, port->counters);
  }
  for (const QueueRecord& queue : record.queues) {
    Port* const port = bridge.port(queue.port);
    if (port == nullptr) continue;
    Plug* const plug = port->find_plug(queue.plug);
    if (plug == nullptr) {
      port->counters.drops.count(Drop::receiver_gone, queue.frames.size());
      continue;
    }
    for (const FrameRecord& frame : queue.frames) plug->queue().push(outgoing_of(frame, pool));
    lane.await_room(*plug);
  }
}

}  // namespace lanyard
