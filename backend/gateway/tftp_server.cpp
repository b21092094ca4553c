// SPDX-License-Identifier: MIT
#include "backend/gateway/tftp_server.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "backend/gateway/dhcp_server.h"
#include "switch/base/file_status.h"
#include "switch/base/text.h"

namespace lanyard {
namespace {

constexpr std::uint16_t kFirstPort = 49152;  // RFC 6335: dynamic ports
constexpr std::uint32_t kPorts = 16384;
constexpr std::uint32_t kHeaders = 32;  // IP, UDP and TFTP
constexpr std::uint32_t kBlockBytes = 512;

int open_beneath(int root, const char* path, std::uint64_t flags) {
  open_how how{};
  how.flags = flags;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  return static_cast<int>(::syscall(SYS_openat2, root, path, &how, sizeof how));
}

TftpError code_of(int error) {
  if (error == ENOENT || error == ENOTDIR) return TftpError::not_found;
  return TftpError::access;
}

}  // namespace

TftpServer::TftpServer(const NetworkConfig& config, GuestLink& link, Log& log)
    : link_(link), log_(log) {
  if (auto done = reconfigure(config); !done) log_.error("{}", done.error().text);
}

Result<void> TftpServer::reconfigure(const NetworkConfig& config) {
  address_ = DhcpServer::server_address(config);
  block_bytes_max_ = std::max(kBlockBytes, std::clamp(config.mtu, kHeaders, 65496U) - kHeaders);
  const std::string& path = config.dhcp.tftp_root;
  root_.reset();
  root_path_ = path;
  if (path.empty() || !config.dhcp.enabled) return {};
  root_.reset(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root_) {
    return Error{errno, fmt::format("network {}: no TFTP, its root {} cannot be opened: {}",
                                    config.name, path, std::strerror(errno))};
  }
  // Nothing below a root that was not known at the start passes the sandbox: better said here than
  // to each guest.
  const UniqueFd readable(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!readable && errno == EACCES) {
    log_.warning(
        "network {}: TFTP may find nothing in {}: either the gateway may not read it, or "
        "it was not the root when the gateway started",
        config.name, path);
  }
  return {};
}

bool TftpServer::on_datagram(const GuestDatagram& datagram, Time now) {
  if (!address_ || !datagram.source.is_v4() || datagram.destination != IpAddress(*address_)) {
    return false;
  }
  if (datagram.destination_port == kPort) {
    if (!root_) return false;
    on_request(datagram, now);
    return true;
  }
  const auto at = sessions_.find(datagram.destination_port);
  if (at == sessions_.end()) return false;
  on_session(at, datagram, now);
  return true;
}

void TftpServer::on_request(const GuestDatagram& datagram, Time now) {
  const auto parsed = parse_tftp(datagram.payload);
  if (!parsed) {
    note(datagram, parsed.error().text, now);
    refuse(datagram, TftpError::illegal, parsed.error().text);
    return;
  }
  const TftpPacket& packet = parsed.value();
  if (packet.opcode == TftpOpcode::write) {
    refuse(datagram, TftpError::access, "this server is read only");
    return;
  }
  if (packet.opcode != TftpOpcode::read) return;  // never answer what may be an answer
  if (packet.request.mode != "octet") {
    const std::string_view mode = packet.request.mode;
    refuse(datagram, TftpError::illegal,
           mode == "netascii" ? "netascii is not served, use octet" : "only octet is served");
    return;
  }
  // A request that was sent again because our answer was late.
  for (const auto& [port, session] : sessions_) {
    if (session.guest == datagram.guest && session.guest_port == datagram.source_port &&
        IpAddress(session.guest_address) == datagram.source) {
      return;
    }
  }
  if (sessions_.size() >= kSessionsMax || sessions_of(datagram.guest) >= kSessionsPerGuestMax) {
    note(datagram, "too many transfers at once", now);
    refuse(datagram, TftpError::undefined, "too many transfers, try again later");
    return;
  }
  auto opened = open(packet.request.file);
  const auto port = fresh_port();
  if (!opened || !port) {
    const Error error = opened ? Error{EBUSY, "no port is free"} : opened.error();
    note(datagram, fmt::format("\"{}\": {}", printable(packet.request.file), error.text), now);
    refuse(datagram, code_of(error.code), error.text);
    return;
  }
  Session session = opened.take();
  session.guest = datagram.guest;
  session.guest_address = datagram.source.v4();
  session.guest_port = datagram.source_port;
  negotiate(packet.request, session);
  const auto at = sessions_.emplace(*port, std::move(session)).first;
  if (!send_window(*port, at->second, now)) sessions_.erase(at);
}

Result<TftpServer::Session> TftpServer::open(std::string_view name) const {
  // As boot ROMs write it: from the root, or with the other slash.
  std::string path(name);
  std::replace(path.begin(), path.end(), '\\', '/');
  path.erase(0, path.find_first_not_of('/'));
  // O_NONBLOCK: a FIFO must not stop the gateway.
  const auto flags = static_cast<std::uint64_t>(O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
  Session session;
  session.file.reset(open_beneath(root_.get(), path.c_str(), flags));
  if (!session.file) {
    const int why = errno;
    return Error{why, why == EXDEV ? "it leads out of the served directory" : std::strerror(why)};
  }
  struct stat info {};
  if (!file_status(session.file.get(), info) || !S_ISREG(info.st_mode)) {
    return Error{EACCES, "it is no regular file"};
  }
  session.size = static_cast<std::uint64_t>(info.st_size);
  session.name = path;
  return session;
}

void TftpServer::negotiate(const TftpRequest& request, Session& session) const {
  auto reply = tftp_option_reply();
  const std::size_t empty = reply.size();
  if (request.block_bytes) {
    session.block_bytes = std::min(*request.block_bytes, block_bytes_max_);
    add_tftp_option(reply, "blksize", session.block_bytes);
  }
  if (request.timeout_s) {
    session.timeout = std::chrono::seconds(*request.timeout_s);
    add_tftp_option(reply, "timeout", *request.timeout_s);
  }
  if (request.window_blocks) {
    session.window_blocks = std::min(*request.window_blocks, kWindowMax);
    add_tftp_option(reply, "windowsize", session.window_blocks);
  }
  if (request.wants_size) add_tftp_option(reply, "tsize", session.size);
  if (reply.size() > empty) session.option_reply = std::move(reply);
}

void TftpServer::on_session(Sessions::iterator at, const GuestDatagram& datagram, Time now) {
  Session& session = at->second;
  const bool is_its_guest = session.guest == datagram.guest &&
                            session.guest_port == datagram.source_port &&
                            datagram.source == IpAddress(session.guest_address);
  const auto parsed = parse_tftp(datagram.payload);
  if (!parsed) return;
  if (!is_its_guest) {  // RFC 1350 4: told so, and the transfer goes on
    if (parsed.value().opcode != TftpOpcode::error) {
      refuse(datagram, TftpError::unknown_transfer, "no transfer of yours is at this port");
    }
    return;
  }
  if (parsed.value().opcode == TftpOpcode::error) {  // also how a ROM ends after it has seen tsize
    sessions_.erase(at);
    return;
  }
  if (parsed.value().opcode == TftpOpcode::acknowledgement) {
    on_acknowledgement(at, parsed.value().block, now);
  }
}

void TftpServer::on_acknowledgement(Sessions::iterator at, std::uint16_t block, Time now) {
  Session& session = at->second;
  if (!session.option_reply.empty()) {
    if (block != 0) return;
    session.option_reply.clear();
  } else {
    // Which of the blocks under way it means: numbers wrap.
    const auto ahead =
        static_cast<std::uint16_t>(block - static_cast<std::uint16_t>(session.acknowledged));
    if (ahead > session.sent - session.acknowledged) return;  // of another time
    if (ahead == 0) {
      // A repeated one: only a client with a window means a gap by it, and once is enough.
      if (session.window_blocks == 1 || session.went_back) return;
      session.went_back = true;
    } else {
      session.acknowledged += ahead;
      session.went_back = false;
    }
  }
  session.tries = 0;
  if (session.acknowledged == session.blocks() || !send_window(at->first, session, now)) {
    sessions_.erase(at);
  }
}

bool TftpServer::send_window(std::uint16_t port, Session& session, Time now) {
  session.deadline = now + session.timeout;
  if (!session.option_reply.empty()) {
    send(port, session, session.option_reply);
    return true;
  }
  const std::uint64_t last =
      std::min(session.blocks(), session.acknowledged + session.window_blocks);
  for (std::uint64_t block = session.acknowledged + 1; block <= last; ++block) {
    const std::uint64_t offset = (block - 1) * session.block_bytes;
    const std::size_t wanted = std::min<std::uint64_t>(session.block_bytes, session.size - offset);
    auto bytes = tftp_data_header(static_cast<std::uint16_t>(block));
    const std::size_t header = bytes.size();
    bytes.resize(header + wanted);
    const ssize_t got = wanted == 0 ? 0
                                    : ::pread(session.file.get(), bytes.data() + header, wanted,
                                              static_cast<off_t>(offset));
    if (got < 0 || static_cast<std::size_t>(got) != wanted) {
      send(port, session, tftp_error(TftpError::undefined, "the file has changed"));
      return false;
    }
    send(port, session, bytes);
  }
  session.sent = last;
  return true;
}

void TftpServer::send(std::uint16_t port, const Session& session,
                      std::span<const std::uint8_t> bytes) {
  if (!address_) return;
  link_.send_udp(
      {session.guest, *address_, session.guest_address, port, session.guest_port, bytes});
}

void TftpServer::refuse(const GuestDatagram& datagram, TftpError code, std::string_view why) {
  const auto bytes = tftp_error(code, why);
  const auto port = datagram.destination_port == kPort ? fresh_port() : datagram.destination_port;
  if (!port) return;
  link_.send_udp(
      {datagram.guest, datagram.destination, datagram.source, *port, datagram.source_port, bytes});
}

std::optional<std::uint16_t> TftpServer::fresh_port() {
  for (std::uint32_t i = 0; i < kPorts; ++i) {
    const auto port = static_cast<std::uint16_t>(kFirstPort + next_port_);
    next_port_ = static_cast<std::uint16_t>((next_port_ + 1) % kPorts);
    if (!sessions_.contains(port)) return port;
  }
  return std::nullopt;
}

std::size_t TftpServer::sessions_of(MacAddress guest) const {
  return static_cast<std::size_t>(std::count_if(
      sessions_.begin(), sessions_.end(), [&](const auto& s) { return s.second.guest == guest; }));
}

std::optional<Time> TftpServer::next_deadline() const {
  std::optional<Time> first;
  for (const auto& [port, session] : sessions_) {
    first = first ? std::min(*first, session.deadline) : session.deadline;
  }
  return first;
}

void TftpServer::on_time(Time now) {
  for (auto at = sessions_.begin(); at != sessions_.end();) {
    Session& session = at->second;
    const bool is_due = session.deadline <= now;
    if (is_due && (++session.tries >= kTriesMax || !send_window(at->first, session, now))) {
      at = sessions_.erase(at);
    } else {
      ++at;
    }
  }
}

void TftpServer::note(const GuestDatagram& datagram, std::string_view what, Time now) {
  if (!log_limit_.allow(now)) return;
  log_.notice("TFTP for {}: {}", datagram.guest.text(), what);
}

}  // namespace lanyard
