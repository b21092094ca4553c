// SPDX-License-Identifier: MIT
//
// The control side of a VDE switch socket: accepts clients, reads their request, plugs them in, and
// unplugs them when their connection ends.
//
// What makes it hard: anybody who may open the socket may also connect and say nothing, say it a
// byte at a time, say it twice, or name somebody else's socket. So a request has a deadline, the
// number of connections that have not spoken is bounded (the oldest goes first, also when
// descriptors run out), the identity is the kernel's, the socket a client names must be its own,
// and what comes after the request is read and ignored. A client that is refused gets EOF at once.
// Lane thread only.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "backend/vde_endpoint.h"
#include "backend/vde_wire.h"
#include "switch/runtime/deadline_timer.h"
#include "switch/runtime/patchbay.h"

namespace lanyard {

class VdeListener final : public Service {
 public:
  struct Settings {
    std::string name = "ctl";  // in the directory
    PortId range_first = 1;    // of clients that name no port
    PortId range_last = kPortMax;
  };

  // `given` listens already, and stays its giver's.
  static Result<std::unique_ptr<VdeListener>> open(Settings settings,
                                                   std::shared_ptr<VdeShared> shared,
                                                   Patchbay& patchbay, UniqueFd given);
  // Goes on with what handover() told in another process.
  static Result<std::unique_ptr<VdeListener>> adopt(const HandoverPart& part,
                                                    std::shared_ptr<VdeShared> shared,
                                                    Patchbay& patchbay);
  ~VdeListener() override;

  std::optional<HandoverPart> handover(HandoverReason why) const override;

 private:
  static constexpr Duration kRequestDeadline = std::chrono::seconds(3);
  static constexpr std::size_t kPendingMax = 256;
  static constexpr int kAcceptsPerRound = 64;

  struct Connection {
    UniqueFd control;
    Time since{0};  // it came, or its predecessor's did
    EventLoop::Watch watch;
    Identity client;
    std::vector<std::uint8_t> received;
    Time deadline{0};
    Plug* plug = nullptr;  // null until the request is granted
    std::size_t ignored = 0;
  };
  using Connections = std::list<std::unique_ptr<Connection>>;

  VdeListener(Settings settings, std::shared_ptr<VdeShared> shared, Patchbay& patchbay);

  Result<void> listen(UniqueFd listening);
  static HandoverPart handover_of(const Connection& connection);
  Result<void> adopt_client(const HandoverPart& part);
  Result<void> watch(Connection& connection);
  void accept_clients();
  void add_connection(UniqueFd control);
  bool make_room();
  void pause_accepting();
  void on_control(Connection& connection);
  void read_request(Connection& connection);
  void ignore_input(Connection& connection);
  Result<void> plug_in(Connection& connection, const VdeRequest& request);
  static Result<void> answer(Connection& connection);
  Result<UniqueFd> connect_data(const Connection& connection, const VdeRequest& request) const;
  void refuse(Connection& connection, std::string_view why);
  void drop(Connection& connection);
  void set_deadline();
  void expire_requests();
  template <typename... Args>
  void complain(fmt::format_string<Args...> format, Args&&... args);

  Settings settings_;
  std::shared_ptr<VdeShared> shared_;
  Patchbay& patchbay_;
  UniqueFd listening_;
  std::string path_;    // of its socket
  bool given_ = false;  // its name is not ours to remove
  Time since_ = monotonic_now();
  UniqueFd spare_;  // given up for an instant to refuse a client when descriptors have run out
  EventLoop::Watch watch_;
  EventLoop::Timer resume_timer_;
  Connections pending_;  // oldest first
  DeadlineTimer deadline_timer_;
  Connections plugged_;
  RateLimit complaints_{20, std::chrono::seconds(10)};
};

}  // namespace lanyard
