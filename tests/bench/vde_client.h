// SPDX-License-Identifier: MIT
//
// A VDE client as libvdeplug makes it: blocking datagram socket, connected to the switch's, default
// buffers.

#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "vde_wire.h"

namespace lanyard::bench {

[[noreturn]] inline void fail(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_ = -1;
};

// Both descriptors must stay open: closing the control connection is how a client unplugs.
struct VdeClient {
  Fd control;
  Fd data;
};

// A switch that is only just starting has no socket yet, or one that does not listen yet.
inline void connect_in_time(int fd, const std::string& path) {
  const sockaddr_un address = unix_address(path);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  while (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    const bool starting = errno == ENOENT || errno == ECONNREFUSED;
    if (!starting || std::chrono::steady_clock::now() > deadline) fail("connect to " + path);
    std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
}

// `number` makes the name of the client's own socket differ from its siblings'.
inline VdeClient connect_client(const std::string& directory, int number) {
  VdeClient client{Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)),
                   Fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0))};
  if (client.control.get() < 0 || client.data.get() < 0) fail("socket");
  connect_in_time(client.control.get(), directory + "/ctl");

  const std::string own_name =
      directory + "/.bench" + std::to_string(getpid()) + "-" + std::to_string(number);
  const sockaddr_un own = unix_address(own_name);
  if (::bind(client.data.get(), reinterpret_cast<const sockaddr*>(&own), sizeof own) != 0)
    fail("bind " + own_name);

  VdeRequest request;
  std::memcpy(request.path, own.sun_path, sizeof request.path);
  std::snprintf(request.description, sizeof request.description, "bench %d", number);
  if (::send(client.control.get(), &request, sizeof request, MSG_NOSIGNAL) !=
      static_cast<ssize_t>(sizeof request))
    fail("send request");

  sockaddr_un peer = {};
  const ssize_t size = ::recv(client.control.get(), &peer, kReplySize, MSG_WAITALL);
  if (size != static_cast<ssize_t>(kReplySize)) {
    throw std::runtime_error("the switch answered " + std::to_string(size) +
                             " bytes instead of 110");
  }
  if (::connect(client.data.get(), reinterpret_cast<const sockaddr*>(&peer), sizeof peer) != 0)
    fail("connect to data socket");
  ::unlink(own_name.c_str());
  return client;
}

inline constexpr std::size_t kHeaderSize = 14;
inline constexpr std::size_t kFrameSizeMin = kHeaderSize + sizeof(std::uint64_t);
inline constexpr std::size_t kFrameSizeMax = 1514;

// A frame with a sequence number behind the header, and zeros after it.
class TestFrame {
 public:
  using Mac = std::array<std::uint8_t, 6>;
  static constexpr Mac kBroadcast = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

  // Client n's address. Those that play many stations (below) differ in the second byte.
  static Mac mac_of(int client) {
    return {0x02,
            0x10,
            0,
            0,
            static_cast<std::uint8_t>(client >> 8),
            static_cast<std::uint8_t>(client)};
  }

  TestFrame(std::size_t size, const Mac& to, const Mac& from) : size_(size) {
    std::memcpy(bytes_.data(), to.data(), 6);
    std::memcpy(bytes_.data() + 6, from.data(), 6);
    bytes_[12] = 0x88;  // local experimental EtherType: nobody on the way interprets it
    bytes_[13] = 0xb5;
  }
  // A frame that only tells the switch where its sender is. Receivers do not count it.
  static TestFrame hello(const Mac& to, const Mac& from) {
    TestFrame frame(64, to, from);
    frame.bytes_[13] = 0xb6;
    return frame;
  }
  static bool is_hello(const void* frame) {
    return static_cast<const std::uint8_t*>(frame)[13] == 0xb6;
  }

  void set_sequence(std::uint64_t number) {
    std::memcpy(bytes_.data() + kHeaderSize, &number, sizeof number);
  }
  void set_station(std::uint32_t station) {
    const std::array<std::uint8_t, 6> mac = {0x02,
                                             0x20,
                                             0,
                                             static_cast<std::uint8_t>(station >> 16),
                                             static_cast<std::uint8_t>(station >> 8),
                                             static_cast<std::uint8_t>(station)};
    std::memcpy(bytes_.data() + 6, mac.data(), 6);
  }
  static std::uint64_t sequence_of(const void* frame) {
    std::uint64_t number;
    std::memcpy(&number, static_cast<const char*>(frame) + kHeaderSize, sizeof number);
    return number;
  }
  void* data() { return bytes_.data(); }
  std::size_t size() const { return size_; }

 private:
  std::array<std::uint8_t, 2048> bytes_ = {};
  std::size_t size_;
};

}  // namespace lanyard::bench
