// SPDX-License-Identifier: MIT
//
// The host's side of UDP: the system calls of the relay. Datagrams go and come in batches
// (sendmmsg(2), recvmmsg(2)), many of one length as one message where the kernel takes and gives
// such (UDP_SEGMENT, UDP_GRO of udp(7)); what routers say about ours comes by the error queue
// (IP_RECVERR of ip(7)). Sockets are never connected: any peer may answer what a guest sent from
// one port (RFC 4787 REQ-1 and REQ-8). Gateway thread only.
#pragma once

#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "backend/gateway/socket_name.h"
#include "switch/base/fd.h"
#include "switch/base/result.h"

namespace lanyard {

// Unbound: the first send gives it a port.
Result<UniqueFd> open_udp_socket(bool v6);
// Has the kernel tell which of our addresses a peer wrote to.
void ask_for_local_address(int fd, bool v6);
// For a socket to which many datagrams come at once.
void expect_bursts(int fd);
// Whether routers, and our own kernel, may fragment what is sent.
void set_fragmentation(int fd, bool v6, bool allowed);
// Takes the error that waits, so that it does not wake us again.
void clear_error(int fd);

// Sends to many peers by one socket.
class UdpSender {
 public:
  static constexpr std::size_t kBatch = 64;

  struct Message {
    SocketName* to = nullptr;
    std::span<iovec> parts;
    std::size_t segment_size = 0;  // the kernel cuts it into datagrams of this length; 0: it is one
    std::uint8_t hop_limit = 64;
    const AddressKey* from = nullptr;  // which of our addresses; any when null
  };

  // Of at most kBatch messages the first so many were sent; if that is none, errno says why.
  std::size_t send(int fd, bool v6, std::span<const Message> messages);

 private:
  // Hop limit, segment size, and the longer of the two kinds of packet information.
  static constexpr std::size_t kControlSize =
      CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(std::uint16_t)) + CMSG_SPACE(sizeof(in6_pktinfo));
  struct Control {
    alignas(cmsghdr) std::array<std::uint8_t, kControlSize> bytes;
  };
  void prepare(std::size_t at, bool v6, const Message& message);

  std::array<mmsghdr, kBatch> headers_{};
  std::array<Control, kBatch> controls_{};
};

// Receives from many peers by one socket, each datagram with room for headers in front.
class UdpReceiver {
 public:
  static constexpr std::size_t kBatch = 32;
  static constexpr std::size_t kHeadroom = 64;
  static constexpr std::size_t kPayloadMax = 65535;

  struct Received {
    // The payload lies at kHeadroom, and up to kPayloadMax bytes may be there.
    std::uint8_t* buffer = nullptr;
    std::size_t size = 0;
    std::size_t segment_size = 0;  // the kernel has joined datagrams of this length; 0: it is one
    SocketName from;
    std::optional<AddressKey> to;  // if asked for

    std::span<const std::uint8_t> payload() const { return {buffer + kHeadroom, size}; }
  };

  static Result<std::unique_ptr<UdpReceiver>> create();
  ~UdpReceiver();
  UdpReceiver(const UdpReceiver&) = delete;
  UdpReceiver& operator=(const UdpReceiver&) = delete;

  // What is there; good until the next call.
  std::span<Received> receive(int fd);

 private:
  struct Control {
    alignas(cmsghdr) std::array<std::uint8_t, 128> bytes;
  };
  UdpReceiver() = default;
  void prepare(std::size_t at);
  static void read_control(msghdr& header, Received& into);

  void* memory_ = nullptr;  // reserved, not touched before it is needed
  std::array<iovec, kBatch> parts_{};
  std::array<mmsghdr, kBatch> headers_{};
  std::array<Control, kBatch> controls_{};
  std::array<Received, kBatch> received_{};
  std::size_t used_ = kBatch;  // by the last call
};

// What became of a datagram of ours.
struct UdpError {
  bool by_router = false;  // or another host; otherwise our own kernel could not send it
  int code = 0;            // as an errno
  std::uint8_t icmp_type = 0;
  std::uint8_t icmp_code = 0;
  std::uint32_t info = 0;              // the MTU, where that is the reason
  std::optional<SocketName> offender;  // who says so
  SocketName target;
  std::span<const std::uint8_t> payload;  // the beginning of the datagram's, within `buffer`
};
// nullopt: there is none.
std::optional<UdpError> next_udp_error(int fd, bool v6, std::span<std::uint8_t> buffer);

}  // namespace lanyard
