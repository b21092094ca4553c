// SPDX-License-Identifier: MIT
//
// A TFTP server for booting guests: reads only, octet only (RFC 1350), with the options a boot ROM
// asks for (RFC 2347): blksize (2348), tsize and timeout (2349), windowsize (7440). It opens no
// socket and reads no clock: datagrams come in by calls, answers leave by the GuestLink.
//
// What makes it hard: the name comes from a guest and the file from the host. The kernel resolves
// the name below the root's descriptor (openat2, RESOLVE_BENEATH), so neither "..", nor a symbolic
// link, nor a rename meanwhile leads out of it; only regular files are sent. Sessions are bounded
// in all and per guest, each with a port of its own and the ends of a block within the file, and
// nothing is sent twice but on a timeout (no Sorcerer's Apprentice). A file is read a block at a
// time; a disk that has to be waited for delays the gateway by one block.
// Gateway thread only.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backend/gateway/guest_link.h"
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

  // With no root in the configuration it answers nobody.
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
    Ipv4Address our_address;
    UniqueFd file;
    std::uint64_t size = 0;
    std::uint32_t block_bytes = 512;
    std::uint32_t window_blocks = 1;
    Duration timeout{};
    std::string name;
    std::vector<std::uint8_t> option_reply;  // until it is acknowledged; then empty
    std::uint64_t acknowledged = 0;          // blocks, counted from 1 and without the wrap
    std::uint64_t sent = 0;
    bool went_back = false;  // since the last progress
    unsigned tries = 0;
    Time deadline{};
  };
  using Sessions = std::map<std::uint16_t, Session>;  // by our port

  void on_request(const GuestDatagram& datagram, Time now);
  void on_session(Sessions::iterator at, const GuestDatagram& datagram, Time now);
  void on_acknowledgement(Sessions::iterator at, std::uint16_t block, Time now);
  Result<Session> open(std::string_view name) const;
  std::optional<std::uint16_t> fresh_port();
  bool send_window(std::uint16_t port, Session& session, Time now);
  void send(std::uint16_t port, const Session& session, std::span<const std::uint8_t> bytes);
  void refuse(const GuestDatagram& datagram, std::uint16_t our_port, std::uint16_t code,
              std::string_view why);
  std::uint64_t last_block(const Session& session) const;

  GuestLink& link_;
  Log& log_;
  RateLimit log_limit_;
  UniqueFd root_;
  std::string root_path_;
  std::optional<Ipv4Address> address_;
  std::uint32_t block_bytes_max_ = 1468;
  std::uint16_t next_port_ = 0;
  Sessions sessions_;
};

}  // namespace lanyard
