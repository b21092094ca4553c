// SPDX-License-Identifier: MIT
//
// A TFTP server for booting guests: reads only, octet only (RFC 1350), with the options a boot ROM
// asks for (RFC 2347): blksize (2348), tsize and timeout (2349), windowsize (7440). It opens no
// socket and reads no clock: datagrams come in by calls, answers leave by the GuestLink.
//
// What makes it hard: the name comes from a guest and the file from the host. The kernel resolves
// the name below the root's descriptor (openat2, RESOLVE_BENEATH), so neither "..", nor a symbolic
// link, nor a rename meanwhile leads out of it; only regular files are sent. Sessions are bounded
// in all and per guest, each answers from a port of its own, and nothing is sent twice but after a
// timeout or when a window has a gap (no Sorcerer's Apprentice). A file is read a block at a time;
// a disk that has to be waited for delays the gateway by a window at most.
// Gateway thread only.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "backend/gateway/guest_link.h"
#include "backend/gateway/tftp_message.h"
#include "switch/base/fd.h"
#include "switch/base/log.h"
#include "switch/base/result.h"
#include "switch/base/time.h"
#include "switch/network/network_config.h"

namespace lanyard {

class TftpServer {
 public:
  static constexpr std::size_t kSessionsMax = 256;
  static constexpr std::size_t kSessionsPerGuestMax = 16;
  static constexpr std::uint16_t kPort = 69;
  static constexpr unsigned kTriesMax = 6;
  static constexpr std::uint32_t kWindowMax = 32;

  // With no root in the configuration it answers nobody. A root that cannot be opened is logged.
  TftpServer(const NetworkConfig& config, GuestLink& link, Log& log);

  // Whether the datagram was for us: port 69 or that of a session, at our address. What is not may
  // be anybody's.
  bool on_datagram(const GuestDatagram& datagram, Time now);
  std::optional<Time> next_deadline() const;
  void on_time(Time now);

  // Running transfers go on. An error says what is wrong with the new root; there is none then.
  Result<void> reconfigure(const NetworkConfig& config);

  std::size_t sessions() const { return sessions_.size(); }

 private:
  struct Session {
    MacAddress guest;
    Ipv4Address guest_address;
    std::uint16_t guest_port = 0;
    UniqueFd file;
    std::uint64_t size = 0;
    std::uint32_t block_bytes = 512;
    std::uint32_t window_blocks = 1;
    Duration timeout = std::chrono::seconds(1);
    std::string name;
    std::vector<std::uint8_t> option_reply;  // until it is acknowledged; then empty
    std::uint64_t acknowledged = 0;          // blocks, from 1, without the wrap at 65536
    std::uint64_t sent = 0;
    bool went_back = false;  // since the last progress
    unsigned tries = 0;
    Time deadline{};

    // One more than whole blocks: the short one says that it was the last.
    std::uint64_t blocks() const { return size / block_bytes + 1; }
  };
  using Sessions = std::map<std::uint16_t, Session>;  // by our port

  void on_request(const GuestDatagram& datagram, Time now);
  void on_session(Sessions::iterator at, const GuestDatagram& datagram, Time now);
  void on_acknowledgement(Sessions::iterator at, std::uint16_t block, Time now);
  Result<Session> open(std::string_view name) const;
  void negotiate(const TftpRequest& request, Session& session) const;
  std::optional<std::uint16_t> fresh_port();
  std::size_t sessions_of(MacAddress guest) const;
  // The option reply, or the window behind what is acknowledged. False when the file fails us.
  bool send_window(std::uint16_t port, Session& session, Time now);
  void send(std::uint16_t port, const Session& session, std::span<const std::uint8_t> bytes);
  void refuse(const GuestDatagram& datagram, TftpError code, std::string_view why);
  void note(const GuestDatagram& datagram, std::string_view what, Time now);

  GuestLink& link_;
  Log& log_;
  RateLimit log_limit_{10, std::chrono::seconds(10)};
  UniqueFd root_;
  std::string root_path_;
  std::optional<Ipv4Address> address_;
  std::uint32_t block_bytes_max_ = 0;
  std::uint16_t next_port_ = 0;
  Sessions sessions_;
};

}  // namespace lanyard
