// SPDX-License-Identifier: MIT
//
// UDP for the NAT measurements, cheap enough not to be what is measured: iperf3 sends a datagram
// for two system calls, and on two CPUs is most of the work itself.
//
//   bench_udp_load send ADDRESS PORT SECONDS SIZE       as fast as a blocking socket takes them
//   bench_udp_load send-gso ADDRESS PORT SECONDS SIZE   the kernel cuts them (UDP_SEGMENT), as
//                                                       senders of QUIC have it do
//   bench_udp_load count PORT                           what arrives on 127.0.0.1, until 1 s after
//   bench_udp_load echo PORT                            sends every datagram back, on 127.0.0.1
//   bench_udp_load query ADDRESS PORT SECONDS PARALLEL  a datagram from a new port and its answer,
//                                                       as DNS does, so many of them at a time
//
// Each prints one JSON object, but echo, which goes on until it is killed.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

constexpr std::size_t kBatch = 64;
constexpr std::size_t kSizeMax = 2048;
constexpr std::size_t kQuerySize = 64;
constexpr std::size_t kCutMax = 60000;
constexpr int kEndMs = 1000;  // nothing more comes after so long
constexpr int kBufferSize = 4 << 20;

[[noreturn]] void die(const char* what) {
  std::perror(what);
  std::exit(1);
}

sockaddr_in address_of(const std::string& host, const std::string& port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(std::stoul(port)));
  if (inet_pton(AF_INET, host.c_str(), &address.sin_addr) != 1) die("inet_pton");
  return address;
}

int connected_to(const sockaddr_in& address, int flags = 0) {
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | flags, 0);
  if (fd < 0) die("socket");
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) die("connect");
  return fd;
}

int bound_to(const std::string& port) {
  const sockaddr_in address = address_of("127.0.0.1", port);
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) die("socket");
  // Root, where TAPs are made: what the receiver has no time for at once is no loss of the NAT.
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &kBufferSize, sizeof kBufferSize);
  if (bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) die("bind");
  return fd;
}

// Buffers for so many datagrams at a call, each with the address of its peer.
struct Batch {
  std::array<std::array<char, kSizeMax>, kBatch> bytes{};
  std::array<iovec, kBatch> vectors{};
  std::array<sockaddr_in, kBatch> peers{};
  std::array<mmsghdr, kBatch> messages{};

  explicit Batch(std::size_t size, bool with_peers = false) {
    for (std::size_t i = 0; i < kBatch; ++i) {
      vectors[i] = {bytes[i].data(), size};
      messages[i].msg_hdr.msg_iov = &vectors[i];
      messages[i].msg_hdr.msg_iovlen = 1;
      if (with_peers) messages[i].msg_hdr.msg_name = &peers[i];
    }
    renew();
  }
  void renew() {
    for (std::size_t i = 0; i < kBatch; ++i) {
      if (messages[i].msg_hdr.msg_name != nullptr)
        messages[i].msg_hdr.msg_namelen = sizeof peers[i];
    }
  }
};

void send_all(const sockaddr_in& address, double seconds, std::size_t size) {
  const int fd = connected_to(address);
  Batch batch(std::min(size, kSizeMax));
  const auto begin = Clock::now();
  std::uint64_t sent = 0;
  while (Seconds(Clock::now() - begin).count() < seconds) {
    const int count = sendmmsg(fd, batch.messages.data(), kBatch, 0);
    if (count > 0) sent += static_cast<std::uint64_t>(count);
  }
  std::printf("{\"sent\": %llu}\n", static_cast<unsigned long long>(sent));
}

void send_all_cut(const sockaddr_in& address, double seconds, std::size_t size) {
  const int fd = connected_to(address);
  const int segment = static_cast<int>(size);
  if (setsockopt(fd, SOL_UDP, UDP_SEGMENT, &segment, sizeof segment) != 0) die("UDP_SEGMENT");
  const std::vector<char> bytes(kCutMax / size * size);
  const auto begin = Clock::now();
  std::uint64_t sent = 0;
  while (Seconds(Clock::now() - begin).count() < seconds) {
    if (send(fd, bytes.data(), bytes.size(), 0) > 0) sent += bytes.size() / size;
  }
  std::printf("{\"sent\": %llu}\n", static_cast<unsigned long long>(sent));
}

void count_all(int fd) {
  Batch batch(kSizeMax);
  std::uint64_t datagrams = 0;
  std::uint64_t bytes = 0;
  Clock::time_point first;
  Clock::time_point last;
  pollfd ready{fd, POLLIN, 0};
  while (poll(&ready, 1, datagrams == 0 ? -1 : kEndMs) > 0) {
    const int count = recvmmsg(fd, batch.messages.data(), kBatch, MSG_DONTWAIT, nullptr);
    if (count <= 0) continue;
    last = Clock::now();
    if (datagrams == 0) first = last;
    datagrams += static_cast<std::uint64_t>(count);
    for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i)
      bytes += batch.messages[i].msg_len;
  }
  const double seconds = std::max(1e-9, Seconds(last - first).count());
  std::printf("{\"datagrams\": %llu, \"bytes\": %llu, \"bits_per_s\": %.0f}\n",
              static_cast<unsigned long long>(datagrams), static_cast<unsigned long long>(bytes),
              8 * static_cast<double>(bytes) / seconds);
}

void echo(int fd) {
  Batch batch(kSizeMax, true);
  while (true) {
    const int count = recvmmsg(fd, batch.messages.data(), kBatch, MSG_WAITFORONE, nullptr);
    if (count <= 0) die("recvmmsg");
    const auto received = static_cast<std::size_t>(count);
    for (std::size_t i = 0; i < received; ++i) batch.vectors[i].iov_len = batch.messages[i].msg_len;
    sendmmsg(fd, batch.messages.data(), static_cast<unsigned>(received), 0);
    for (std::size_t i = 0; i < received; ++i) batch.vectors[i].iov_len = kSizeMax;
    batch.renew();
  }
}

class Queries {
 public:
  Queries(const sockaddr_in& address, std::size_t parallel)
      : address_(address), epoll_(epoll_create1(EPOLL_CLOEXEC)), asked_(parallel), fds_(parallel) {
    if (epoll_ < 0) die("epoll_create1");
    for (std::size_t i = 0; i < parallel; ++i) ask(i);
  }

  void run(double seconds) {
    const auto begin = Clock::now();
    std::array<epoll_event, kBatch> events{};
    while (Seconds(Clock::now() - begin).count() < seconds) {
      const int count = epoll_wait(epoll_, events.data(), kBatch, kEndMs);
      for (int i = 0; i < count; ++i) answered(events[static_cast<std::size_t>(i)].data.u64);
      give_up_old_ones();
    }
    const double elapsed = Seconds(Clock::now() - begin).count();
    std::sort(times_us_.begin(), times_us_.end());
    if (times_us_.empty()) {
      std::fprintf(stderr, "no query was answered\n");
      std::exit(1);
    }
    std::printf("{\"per_s\": %.1f, \"median_us\": %.2f, \"lost\": %llu}\n",
                static_cast<double>(times_us_.size()) / elapsed, times_us_[times_us_.size() / 2],
                static_cast<unsigned long long>(lost_));
  }

 private:
  void ask(std::size_t index) {
    static constexpr std::array<char, kQuerySize> kQuestion{};
    asked_[index] = Clock::now();
    fds_[index] = connected_to(address_, SOCK_NONBLOCK);
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = index;
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fds_[index], &event) != 0) die("epoll_ctl");
    if (send(fds_[index], kQuestion.data(), kQuestion.size(), 0) < 0) die("send");
  }
  void answered(std::size_t index) {
    std::array<char, kQuerySize> answer{};
    if (recv(fds_[index], answer.data(), answer.size(), 0) != kQuerySize) die("recv");
    times_us_.push_back(1e6 * Seconds(Clock::now() - asked_[index]).count());
    close(fds_[index]);
    ask(index);
  }

  // As a resolver asks again.
  void give_up_old_ones() {
    const auto now = Clock::now();
    for (std::size_t i = 0; i < fds_.size(); ++i) {
      if (now - asked_[i] < std::chrono::milliseconds(kEndMs)) continue;
      ++lost_;
      close(fds_[i]);
      ask(i);
    }
  }

  sockaddr_in address_;
  int epoll_;
  std::vector<Clock::time_point> asked_;
  std::vector<int> fds_;
  std::vector<double> times_us_;
  std::uint64_t lost_ = 0;  // not answered within a second
};

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  const std::string mode = words.empty() ? "" : words[0];
  if (mode == "send" && words.size() == 5) {
    send_all(address_of(words[1], words[2]), std::stod(words[3]), std::stoul(words[4]));
  } else if (mode == "send-gso" && words.size() == 5) {
    send_all_cut(address_of(words[1], words[2]), std::stod(words[3]), std::stoul(words[4]));
  } else if (mode == "count" && words.size() == 2) {
    count_all(bound_to(words[1]));
  } else if (mode == "echo" && words.size() == 2) {
    echo(bound_to(words[1]));
  } else if (mode == "query" && words.size() == 5) {
    Queries(address_of(words[1], words[2]), std::stoul(words[4])).run(std::stod(words[3]));
  } else {
    std::fprintf(
        stderr,
        "usage: bench_udp_load send|send-gso ADDRESS PORT SECONDS SIZE | count PORT | echo PORT |\n"
        "       query ADDRESS PORT SECONDS PARALLEL\n");
    return 2;
  }
  return 0;
}
