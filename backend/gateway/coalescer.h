// SPDX-License-Identifier: MIT
//
// Makes few large TCP segments of many small ones, within one batch of frames.
//
// Why: libslirp costs a send() and an acknowledgement for every segment (about 8 us), whatever its
// length; a guest at MTU 1500 sends 44 of them where one would do. What makes it hard: two wrongly
// joined segments are corrupt data with a right checksum. So only bare segments of one flow are
// joined, each beginning where the last one ends, with the same acknowledgement and no flag but
// ACK and PSH; anything else first sends what is held. Payload sums of the sanitiser are added up,
// so a byte is summed once. Of acknowledgements without data only the last of a batch goes on, if
// each one acknowledges more than the one before (equal ones are how TCP reports a loss).
// Nothing is held beyond flush(). Gateway thread only.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "backend/gateway/nat_counters.h"
#include "backend/gateway/nat_packet.h"

namespace lanyard {

class Coalescer {
 public:
  class Sink {
   public:
    virtual ~Sink() = default;
    virtual void deliver(NatPacket& packet) = 0;
  };

  // Half of the window of 64 KiB that the engine offers: so a guest goes on sending while it works.
  static constexpr std::size_t kPayloadMax = 32 * 1024;

  Coalescer(Sink& sink, NatCounters& counters) : sink_(sink), counters_(counters) {}

  // The packet's bytes must stay until flush(). Packets of one flow are delivered in the order in
  // which they were added.
  void add(NatPacket& packet);
  void flush();

 private:
  struct Slot {
    NatPacket packet;               // the first, or the joined one
    std::vector<std::uint8_t> own;  // the joined bytes; not used by a single packet
    bool used = false;
    bool joined = false;
  };
  static constexpr std::size_t kSlots = 32;

  Slot* find(const FlowKey& key);
  Slot& free_slot();
  bool join(Slot& slot, const NatPacket& packet);
  void release(Slot& slot);

  Sink& sink_;
  NatCounters& counters_;
  std::array<Slot, kSlots> slots_;
  std::size_t used_ = 0;
  std::size_t oldest_ = 0;
};

}  // namespace lanyard
