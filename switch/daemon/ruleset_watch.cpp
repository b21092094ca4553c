// SPDX-License-Identifier: MIT
#include "switch/daemon/ruleset_watch.h"

#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "switch/base/text.h"

namespace lanyard {

Result<std::unique_ptr<RulesetWatch>> RulesetWatch::create(EventLoop& loop,
                                                           std::function<void()> changed,
                                                           std::function<void()> look) {
  std::unique_ptr<RulesetWatch> made(new RulesetWatch(loop, std::move(changed)));
  RulesetWatch* const self = made.get();
  made->socket_.reset(
      ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_NETFILTER));
  sockaddr_nl name{};
  name.nl_family = AF_NETLINK;
  name.nl_groups = 1U << (NFNLGRP_NFTABLES - 1);
  if (!made->socket_ ||
      ::bind(made->socket_.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name) != 0) {
    return Error{errno, fmt::format("changes of the packet filter are not reported: {}",
                                    std::strerror(errno))};
  }
  Result<EventLoop::Watch> watch =
      loop.watch(made->socket_.get(), EPOLLIN, [self](std::uint32_t) { self->on_report(); });
  if (!watch) return watch.error();
  made->watch_ = watch.take();
  made->period_ = loop.every(kPeriod, std::move(look));
  return made;
}

// What is reported does not matter, nor how much of it was lost (ENOBUFS).
void RulesetWatch::on_report() {
  std::array<char, 16384> message;
  for (int i = 0; i < 16; ++i) {
    const ssize_t size = ::recv(socket_.get(), message.data(), message.size(), 0);
    if (size < 0 && errno != ENOBUFS) break;
  }
  if (gathering_) return;
  gathering_ = loop_.after(kGather, [this] {
    gathering_.reset();
    changed_();
  });
}

}  // namespace lanyard
