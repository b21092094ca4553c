// SPDX-License-Identifier: MIT
//
// A port is ours: a number, what the user said about it, counters. A plug is one cable in it: an
// endpoint with its queue. A port may hold several plugs (clients of one user that asked for the
// same number); each gets every frame sent to the port and none hears its siblings.
//
// What makes it hard: one receiver that does not read may delay nobody. So a plug never waits: what
// its endpoint does not take goes to a bounded queue, and past that it is dropped by name.
// Lane thread only.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "switch/base/identity.h"
#include "switch/bridge/drop.h"
#include "switch/bridge/endpoint.h"
#include "switch/bridge/frame_queue.h"
#include "switch/bridge/port_guard.h"
#include "switch/bridge/port_set.h"

namespace lanyard {

// A flow in one direction. Bytes include the header and a tag, no FCS.
struct FlowCounter {
  std::uint64_t frames = 0;
  std::uint64_t bytes = 0;
  void count(std::size_t size) {
    ++frames;
    bytes += size;
  }
};

struct PortCounters {
  FlowCounter incoming;  // as VDE counts: every whole frame, before any decision
  FlowCounter outgoing;  // as VDE counts: once per port, before it is sent

  // For the balance: received = forwarded + incoming drops; offered = transmitted + queued +
  // outgoing drops. `offered` counts once per plug, and frames as that plug gets them: a large
  // frame that is cut for it counts as its segments there, and as one frame everywhere else.
  std::uint64_t received = 0;
  std::uint64_t forwarded = 0;
  std::uint64_t offered = 0;
  std::uint64_t transmitted = 0;
  DropCounters drops;
};

class Port;

class Plug {
 public:
  struct Traits {
    std::string_view module;  // "unix prog", "tuntap": the kind as VDE's console names it
    std::string description;  // foreign text, as it came
    int id = -1;              // the endpoint ID of the console: unique among live plugs
    Identity identity;
  };

  Plug(Port& port, std::unique_ptr<Endpoint> endpoint, Traits traits, std::size_t queue_bytes_max);
  ~Plug();
  Plug(const Plug&) = delete;
  Plug& operator=(const Plug&) = delete;

  Port& port() const { return port_; }
  Endpoint& endpoint() const { return *endpoint_; }
  const Traits& traits() const { return traits_; }

  // Sends, queues or drops each of the frames; never waits.
  void send(std::span<Outgoing> frames, FramePool& pool);
  // What is left of a queue, and why.
  enum class Drained : std::uint8_t { empty, endpoint_full, for_another_turn };
  // Sends from the queue as much as the endpoint takes, within what is fair to others.
  Drained drain(FramePool& pool);

  bool has_backlog() const { return !queue_.empty(); }
  FrameQueue& queue() { return queue_; }
  // Drops what is queued, for this reason.
  void discard_queue(Drop why);

  // Set by the lane once it waits for the endpoint to become writable.
  bool waiting_writable = false;
  // Set when the plug has been unplugged and only waits for the end of the turn.
  bool closing = false;

 private:
  void send_joined(std::span<Outgoing> frames, const Caps& caps, FramePool& pool);
  void send_within(std::span<Outgoing> frames, const Caps& caps, FramePool& pool);
  void send_fitted(std::span<Outgoing> frames, const Caps& caps, FramePool& pool);
  void transmit(std::span<const Outgoing> frames);
  std::size_t offer(std::span<const Outgoing> frames);

  Port& port_;
  std::unique_ptr<Endpoint> endpoint_;
  Traits traits_;
  FrameQueue queue_;
};

class Port {
 public:
  explicit Port(PortId id) : id_(id) {}
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;

  PortId id() const { return id_; }
  bool active() const { return !plugs_.empty(); }
  bool carries() const { return active() && link_up; }

  // Newest first, as the console lists them.
  const std::vector<std::unique_ptr<Plug>>& plugs() const { return plugs_; }
  Plug& add_plug(std::unique_ptr<Plug> plug);
  std::unique_ptr<Plug> take_plug(const Plug& plug);
  Plug* find_plug(int endpoint_id) const;

  // What the user said.
  bool allocatable = true;  // may be given to a client that names no port
  bool reserved = false;    // for a part of the daemon, not for clients
  bool link_up = true;      // false: its cable is pulled; change it with Switch::set_link
  bool pass_tags = false;   // tags of VLANs it is not in are payload, not a reason to drop
  uid_t user_allowed = kNoUser;
  gid_t group_allowed = kNoGroup;
  std::size_t queue_bytes_max = FrameQueue::kDefaultBytes;

  // Whose port it is while it is active.
  uid_t current_user = kNoUser;

  std::unique_ptr<PortGuard> guard;  // null: none; change it with Switch::set_guard
  bool guard_chosen = false;         // by an operator: nobody else is to change it

  PortCounters counters;
  EgressBatch pending;  // gathered during a turn, sent by Switch::flush
  bool dirty = false;   // in the list of ports that flush() visits

 private:
  PortId id_;
  std::vector<std::unique_ptr<Plug>> plugs_;
};

}  // namespace lanyard
