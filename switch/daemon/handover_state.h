// SPDX-License-Identifier: MIT
//
// All that a switch process is, besides its descriptors, as one value, and that value as bytes.
//
// The keeper holds the bytes and looks at none of them. Two kinds are written: what is committed
// after every change, for the case of a crash (ports, VLANs, who is plugged in where), and what a
// process that makes room for a successor seals (also stations, counters and waiting frames, which
// nobody would trust in the memory of a process that has crashed).
//
// What makes it hard: the reader may be older or newer than the writer, or may read what a broken
// process wrote. So the bytes begin with a magic word, the format, the oldest format that
// understands it, length and CRC32C; inside are numbered fields (handover_fields.h); and what comes
// out is checked before anybody acts on it. What cannot be read is refused with a sentence, and the
// predecessor, if there is one, goes on. Values only; any thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "switch/base/result.h"
#include "switch/bridge/switch_state.h"
#include "switch/frame/offload.h"
#include "switch/runtime/handover.h"

namespace lanyard {

// Raised when an older reader could no longer make sense of what is written.
constexpr std::uint32_t kHandoverFormat = 1;
constexpr std::uint32_t kHandoverFormatOldest = 1;  // that we still read

struct StationRecord {
  MacAddress mac;
  VlanId vlan = 0;
  PortId port = 0;
  std::uint32_t age_s = 0;

  friend bool operator==(const StationRecord&, const StationRecord&) = default;
};

struct CountersRecord {
  PortId port = 0;
  std::uint64_t incoming_frames = 0;
  std::uint64_t incoming_bytes = 0;
  std::uint64_t outgoing_frames = 0;
  std::uint64_t outgoing_bytes = 0;
  std::uint64_t received = 0;
  std::uint64_t forwarded = 0;
  std::uint64_t offered = 0;
  std::uint64_t transmitted = 0;
  std::map<std::string, std::uint64_t> drops;  // by the reason's name

  friend bool operator==(const CountersRecord&, const CountersRecord&) = default;
};

// A frame that waited in the queue of a plug.
struct FrameRecord {
  std::string bytes;  // without the tag
  std::uint16_t priority = 0;
  VlanId vlan = 0;
  bool tagged = false;
  Offload offload;

  friend bool operator==(const FrameRecord&, const FrameRecord&) = default;
};

struct QueueRecord {
  PortId port = 0;
  int plug = -1;  // its endpoint ID
  std::vector<FrameRecord> frames;

  friend bool operator==(const QueueRecord&, const QueueRecord&) = default;
};

struct SwitchRecord {
  std::string name;  // of its network; empty for the only one
  SwitchState state;
  std::vector<HandoverPart> parts;
  // Sealed only.
  std::vector<StationRecord> stations;
  std::vector<CountersRecord> counters;
  std::vector<QueueRecord> queues;

  friend bool operator==(const SwitchRecord&, const SwitchRecord&) = default;
};

struct HandoverState {
  std::string writer;  // the version of the program
  bool sealed = false;
  Time started{0};            // of the first process
  std::string configuration;  // of a daemon of networks
  std::map<std::string, std::string, std::less<>> values;
  std::vector<SwitchRecord> switches;
  std::vector<HandoverPart> parts;  // of the daemon itself: its sockets

  friend bool operator==(const HandoverState&, const HandoverState&) = default;
};

std::string encode_handover(const HandoverState& state);

// The error says what is wrong with the bytes, or with what they say.
Result<HandoverState> decode_handover(std::string_view bytes);

// CRC32C (Castagnoli), as in iSCSI.
std::uint32_t crc32c(std::string_view bytes);

// Every descriptor that the parts of a state name.
std::vector<HeldDescriptor> descriptors_of(const HandoverState& state);

// Calls change(descriptor) for each of them.
template <typename Function>
void for_each_descriptor(std::vector<HandoverPart>& parts, Function&& change) {
  for (HandoverPart& part : parts) {
    for (HeldDescriptor& held : part.descriptors) change(held);
    for_each_descriptor(part.parts, change);
  }
}
template <typename Function>
void for_each_descriptor(HandoverState& state, Function&& change) {
  for_each_descriptor(state.parts, change);
  for (SwitchRecord& one : state.switches) for_each_descriptor(one.parts, change);
}

}  // namespace lanyard
