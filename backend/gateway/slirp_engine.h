// SPDX-License-Identifier: MIT
//
// libslirp behind our event loop: its descriptors, its clock, its neighbours. Nothing of policy.
//
// What makes it hard is what libslirp 4.7 expects of its caller without saying so:
// - Readiness must never be invented, and never be reported when it was not asked for: an error on
//   a socket whose buffer is full, or "writable" on one that is still connecting, ends in an
//   assertion or a dead flow. So each descriptor's last question is kept, and answers are cut to
//   it.
// - Its clock stands still between polls, and new flows expire by it. So it is wound before a batch
//   that follows a pause.
// - It asks by ARP or ND for guests and knows 16 of them, oldest out first; a packet whose question
//   was answered goes out with the next packet only. So questions never leave here: they are
//   answered from the observer's table after each call, and the queue is run again.
// - With segments above 16 KiB it stalls for seconds with slow readers. So the MTU is little more,
// and
//   whoever sends its frames on cuts them for guests.
// - Listeners get a backlog of one. So they are told to listen again, with a real one.
// Gateway thread only.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string_view>
#include <vector>

#include "backend/gateway/nat_packet.h"
#include "switch/base/fd.h"
#include "switch/base/log.h"
#include "switch/base/result.h"
#include "switch/network/network_config.h"
#include "switch/runtime/event_loop.h"

struct sockaddr;

namespace lanyard {

class SlirpEngine {
 public:
  // Its t_maxseg is 60 less, so that four segments fit a window. Its buffers of 128 KiB are made
  // anew, and copied, for each flow unless a whole number of segments of 40 less fills them: 8.
  static constexpr std::size_t kMtu = 16384 + 40;

  class Observer {
   public:
    virtual ~Observer() = default;
    // To a guest. Good for the duration of the call, which must not come back into the engine.
    virtual void engine_sends(std::span<std::uint8_t> frame) = 0;
    virtual void socket_opened(int fd) = 0;
    virtual void socket_closed(int fd) = 0;  // about to be
    virtual std::optional<MacAddress> mac_of_guest(const IpAddress& guest) = 0;
    // Somebody waits for this guest, and nobody knows it: learned() when it is known.
    virtual void guest_wanted(const IpAddress& guest) = 0;
    // All frames of this turn have been sent.
    virtual void engine_done() = 0;
    // Sockets of flows that the engine does not carry.
    virtual std::size_t sockets_elsewhere() const = 0;
  };

  static Result<std::unique_ptr<SlirpEngine>> create(const NetworkConfig& config, EventLoop& loop,
                                                     Log& log, Observer& observer);
  ~SlirpEngine();
  SlirpEngine(const SlirpEngine&) = delete;
  SlirpEngine& operator=(const SlirpEngine&) = delete;

  void input(const NatPacket& packet);
  // Behind the last packet of a batch, also if there was none. Ends with engine_done().
  void end_batch();
  void learned(const IpAddress& guest, MacAddress mac);

  // While paused nothing is read from the host's sockets, and nothing accepted.
  void set_paused(bool paused);
  // Too few descriptors are left for another flow.
  bool near_descriptor_limit() const {
    return open_sockets_ + observer_.sockets_elsewhere() >= sockets_max_;
  }

  // EADDRINUSE and the like as errno gives them.
  int add_forward(const sockaddr* host, std::size_t host_size, const sockaddr* guest,
                  std::size_t guest_size, int flags);
  // The same for who listens already, at a name of any kind.
  int add_forward(const UniqueFd& listener, const sockaddr* guest, std::size_t guest_size);
  void remove_forward(const sockaddr* host, std::size_t host_size, int flags);
  // Only between addresses: whether there is one at all is settled at creation.
  Result<void> set_outbound(const std::string& v4, const std::string& v6);

 private:
  struct Impl;
  struct Descriptor {
    int asked = 0;             // SLIRP_POLL_*, in the last fill
    std::uint32_t armed = 0;   // in the epoll set
    std::uint32_t round = 0;   // of the fill that asked last
    bool ours = false;         // announced by socket_opened
    bool read_before = false;  // it was asked for reading: no longer connecting
    bool listener = false;
    bool known = false;
    bool listed = false;  // in armed_; outlives the descriptor
  };

  SlirpEngine(EventLoop& loop, Log& log, Observer& observer);
  Result<void> start(const NetworkConfig& config);
  void poll(bool with_sockets);
  void turn();
  void settle();
  void fill();
  void answer(const IpAddress& guest, MacAddress mac);
  Descriptor& descriptor(int fd);
  int add_poll(int fd, int asked);
  int ready_events(int fd) const;
  void arm(int fd, Descriptor& descriptor, std::uint32_t events);
  void opened(int fd);
  void closed(int fd);
  void sends(std::span<std::uint8_t> frame);
  void set_tick(std::uint32_t timeout_ms);

  EventLoop& loop_;
  Log& log_;
  Observer& observer_;
  std::unique_ptr<Impl> impl_;
  UniqueFd epoll_;
  EventLoop::Watch watch_;  // of epoll_
  EventLoop::Timer tick_;
  Time tick_at_{0};
  Time polled_{0};
  std::vector<Descriptor> descriptors_;  // by number
  std::vector<std::uint32_t> ready_;     // epoll events by descriptor, during a poll
  std::vector<int> armed_;               // in the epoll set, perhaps
  std::uint32_t round_ = 0;
  bool paused_ = false;
  bool entered_ = false;  // since the last fill: its wishes may have changed
  std::size_t open_sockets_ = 0;
  std::size_t sockets_max_ = 0;
  std::set<IpAddress> wanted_;   // asked for in this turn
  std::set<IpAddress> unknown_;  // asked for, and still unknown
  RateLimit log_limit_{5, std::chrono::seconds(60)};
};

}  // namespace lanyard
