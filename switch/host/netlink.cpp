// SPDX-License-Identifier: MIT
#include "switch/host/netlink.h"

#include <libmnl/libmnl.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "switch/base/text.h"

namespace lanyard {
namespace {

// A dump's parts are at most this large (netlink_dump() in the kernel).
constexpr std::size_t kReceiveSize = 32768;
constexpr std::size_t kRequestSize = 512;
constexpr int kDumpAttempts = 5;
constexpr timeval kPatience{5, 0};  // the kernel answers at once; this is for broken sandboxes

using Payload = std::span<const std::uint8_t>;

Error failed(const char* what) {
  const int code = errno;
  return {code, fmt::format("netlink: {}: {}", what, std::strerror(code))};
}

struct alignas(nlmsghdr) Request {
  std::array<std::uint8_t, kRequestSize> bytes{};

  nlmsghdr* begin(std::uint16_t type, int flags) {
    nlmsghdr* const head = mnl_nlmsg_put_header(bytes.data());
    head->nlmsg_type = type;
    head->nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
    return head;
  }
};

template <typename T>
T* put(nlmsghdr* head) {
  return static_cast<T*>(mnl_nlmsg_put_extra_header(head, sizeof(T)));
}

}  // namespace

class Netlink::Socket {
 public:
  explicit Socket(mnl_socket* socket) : socket_(socket) {}
  ~Socket() { mnl_socket_close(socket_); }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  // Asks for a change and waits for the answer.
  Result<void> change(nlmsghdr* request) {
    if (Result<void> sent = send(request); !sent) return sent;
    while (!done_) {
      if (Result<void> part = receive([](Payload) {}); !part) return part;
    }
    return {};
  }

  // Everything of a kind, each as a value; once more when it changed meanwhile.
  template <typename Value, typename Parse>
  Result<std::vector<Value>> dump(nlmsghdr* request, Parse parse) {
    for (int attempt = 0; attempt < kDumpAttempts; ++attempt) {
      std::vector<Value> values;
      if (Result<void> sent = send(request); !sent) return sent.error();
      while (!done_) {
        Result<void> part = receive([&](Payload payload) {
          if (auto value = parse(payload)) values.push_back(std::move(*value));
        });
        if (!part) return part.error();
      }
      if (consistent_) return values;
    }
    return Error{EAGAIN, "netlink: interfaces or routes change faster than they can be listed"};
  }

 private:
  Result<void> send(nlmsghdr* request) {
    request->nlmsg_seq = ++sequence_;
    done_ = false;
    consistent_ = true;
    if (mnl_socket_sendto(socket_, request, request->nlmsg_len) < 0) return failed("request");
    return {};
  }

  // One datagram of answers; `each` gets what is in the messages.
  template <typename Each>
  Result<void> receive(Each each) {
    buffer_.resize(kReceiveSize);
    // Not mnl_socket_recvfrom(), which makes a call that a confined process has not got (recvmsg).
    const ssize_t count =
        ::recv(mnl_socket_get_fd(socket_), buffer_.data(), buffer_.size(), MSG_TRUNC);
    if (count > static_cast<ssize_t>(buffer_.size())) errno = ENOSPC;
    if (count > static_cast<ssize_t>(buffer_.size()) || (count < 0 && errno != ENOBUFS)) {
      return failed("answer");
    }
    if (count < 0) {  // some are lost; what else comes has an old sequence number
      done_ = true;
      consistent_ = false;
      return {};
    }
    Payload rest(buffer_.data(), static_cast<std::size_t>(count));
    while (!done_ && rest.size() >= sizeof(nlmsghdr)) {
      nlmsghdr head;
      std::memcpy(&head, rest.data(), sizeof head);
      if (head.nlmsg_len < sizeof head || head.nlmsg_len > rest.size()) break;
      const Payload payload = rest.subspan(sizeof head, head.nlmsg_len - sizeof head);
      rest = rest.subspan(std::min<std::size_t>(NLMSG_ALIGN(head.nlmsg_len), rest.size()));
      if (head.nlmsg_seq != sequence_) continue;
      if ((head.nlmsg_flags & NLM_F_DUMP_INTR) != 0) consistent_ = false;
      done_ = head.nlmsg_type == NLMSG_DONE || head.nlmsg_type == NLMSG_ERROR;
      if (head.nlmsg_type == NLMSG_ERROR) return answer_of(payload, head.nlmsg_flags);
      if (!done_) each(payload);
    }
    return {};
  }

  static Result<void> answer_of(Payload payload, std::uint16_t flags) {
    const NetlinkAnswer answer = parse_answer(payload, flags);
    if (answer.code == 0) return {};
    std::string text = std::strerror(answer.code);
    if (!answer.text.empty()) append(text, ": {}", printable(answer.text));
    return Error{answer.code, std::move(text)};
  }

  mnl_socket* socket_;
  std::uint32_t sequence_ = 0;
  bool done_ = true;
  bool consistent_ = true;
  std::vector<std::uint8_t> buffer_;
};

Netlink::Netlink(std::unique_ptr<Socket> socket) : socket_(std::move(socket)) {}
Netlink::Netlink(Netlink&&) noexcept = default;
Netlink& Netlink::operator=(Netlink&&) noexcept = default;
Netlink::~Netlink() = default;

Result<Netlink> Netlink::open() {
  mnl_socket* const opened = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
  if (opened == nullptr) return failed("socket");
  auto socket = std::make_unique<Socket>(opened);
  if (mnl_socket_bind(opened, 0, MNL_SOCKET_AUTOPID) != 0) return failed("bind");
  int on = 1;
  // Old kernels know neither; then errors have no sentence.
  mnl_socket_setsockopt(opened, NETLINK_EXT_ACK, &on, sizeof on);
  mnl_socket_setsockopt(opened, NETLINK_CAP_ACK, &on, sizeof on);
  ::setsockopt(mnl_socket_get_fd(opened), SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof kPatience);
  return Netlink(std::move(socket));
}

Result<std::vector<LinkInfo>> Netlink::links() {
  Request request;
  nlmsghdr* const head = request.begin(RTM_GETLINK, NLM_F_DUMP);
  put<ifinfomsg>(head)->ifi_family = AF_UNSPEC;
  return socket_->dump<LinkInfo>(head, parse_link);
}

Result<std::vector<AddressInfo>> Netlink::addresses() {
  Request request;
  nlmsghdr* const head = request.begin(RTM_GETADDR, NLM_F_DUMP);
  put<ifaddrmsg>(head)->ifa_family = AF_UNSPEC;
  return socket_->dump<AddressInfo>(head, parse_address);
}

Result<std::vector<RouteInfo>> Netlink::routes() {
  std::vector<RouteInfo> all;
  for (const int family : {AF_INET, AF_INET6}) {
    Request request;
    nlmsghdr* const head = request.begin(RTM_GETROUTE, NLM_F_DUMP);
    put<rtmsg>(head)->rtm_family = static_cast<std::uint8_t>(family);
    Result<std::vector<RouteInfo>> some = socket_->dump<RouteInfo>(head, parse_route);
    if (!some && family == AF_INET6) break;  // a kernel without IPv6
    if (!some) return some;
    all.insert(all.end(), some.value().begin(), some.value().end());
  }
  return all;
}

Result<LinkInfo> Netlink::link(std::string_view name) {
  Result<std::vector<LinkInfo>> all = links();
  if (!all) return all.error();
  for (LinkInfo& link : all.value()) {
    if (link.name == name) return std::move(link);
  }
  return Error{ENODEV, fmt::format("there is no interface {}", printable(name))};
}

namespace {

nlmsghdr* link_request(Request& request, std::uint16_t type, int index, unsigned change = 0,
                       unsigned flags = 0) {
  nlmsghdr* const head = request.begin(type, NLM_F_ACK);
  auto* const info = put<ifinfomsg>(head);
  info->ifi_family = AF_UNSPEC;
  info->ifi_index = index;
  info->ifi_change = change;
  info->ifi_flags = flags;
  return head;
}

nlmsghdr* address_request(Request& request, std::uint16_t type, int flags, int index,
                          const IpAddress& address, unsigned length) {
  nlmsghdr* const head = request.begin(type, NLM_F_ACK | flags);
  auto* const info = put<ifaddrmsg>(head);
  info->ifa_family = address.is_v4() ? AF_INET : AF_INET6;
  info->ifa_prefixlen = static_cast<std::uint8_t>(length);
  info->ifa_index = static_cast<std::uint32_t>(index);
  if (address.is_v4()) {
    const auto octets = address.v4().bytes();
    mnl_attr_put(head, IFA_LOCAL, octets.size(), octets.data());
    mnl_attr_put(head, IFA_ADDRESS, octets.size(), octets.data());
  } else {
    const auto& octets = address.v6().bytes();
    mnl_attr_put(head, IFA_LOCAL, octets.size(), octets.data());
    mnl_attr_put(head, IFA_ADDRESS, octets.size(), octets.data());
  }
  return head;
}

}  // namespace

Result<void> Netlink::set_up(int index, bool up) {
  Request request;
  return socket_->change(link_request(request, RTM_NEWLINK, index, IFF_UP, up ? IFF_UP : 0));
}

Result<void> Netlink::set_mtu(int index, std::uint32_t mtu) {
  Request request;
  nlmsghdr* const head = link_request(request, RTM_NEWLINK, index);
  mnl_attr_put_u32(head, IFLA_MTU, mtu);
  return socket_->change(head);
}

Result<void> Netlink::set_mac(int index, MacAddress mac) {
  Request request;
  nlmsghdr* const head = link_request(request, RTM_NEWLINK, index);
  const auto octets = mac.bytes();
  mnl_attr_put(head, IFLA_ADDRESS, octets.size(), octets.data());
  return socket_->change(head);
}

Result<void> Netlink::set_alias(int index, std::string_view alias) {
  constexpr std::size_t kAliasMax = 255;  // IFALIASZ less its NUL
  if (alias.size() > kAliasMax) {
    return Error{EINVAL, fmt::format("an alias of {} bytes is too long", alias.size())};
  }
  Request request;
  nlmsghdr* const head = link_request(request, RTM_NEWLINK, index);
  mnl_attr_put(head, IFLA_IFALIAS, alias.size(), alias.data());
  return socket_->change(head);
}

Result<void> Netlink::delete_link(int index) {
  Request request;
  return socket_->change(link_request(request, RTM_DELLINK, index));
}

Result<void> Netlink::add_address(int index, const IpAddress& address, unsigned length) {
  Request request;
  nlmsghdr* const head =
      address_request(request, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, index, address, length);
  if (address.is_v6()) mnl_attr_put_u32(head, IFA_FLAGS, IFA_F_NODAD);
  // Broadcasts of a subnet go to its last address.
  if (address.is_v4() && length < 31) {
    const auto last = Ipv4Prefix{address.v4(), length}.broadcast().bytes();
    mnl_attr_put(head, IFA_BROADCAST, last.size(), last.data());
  }
  return socket_->change(head);
}

Result<void> Netlink::delete_address(int index, const IpAddress& address, unsigned length) {
  Request request;
  return socket_->change(address_request(request, RTM_DELADDR, 0, index, address, length));
}

}  // namespace lanyard
