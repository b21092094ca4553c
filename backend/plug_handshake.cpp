// SPDX-License-Identifier: MIT
#include "backend/plug_handshake.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "switch/base/file_status.h"
#include "switch/base/own_identity.h"
#include "switch/base/text.h"
#include "switch/base/unix_socket.h"

namespace lanyard {
namespace {

constexpr Duration kAnswerTime = std::chrono::seconds(5);
constexpr std::uint32_t kNamesTried = 1000;
constexpr int kSendBuffer = 4 << 20;
// What the packed headers are long, before the address.
constexpr std::size_t kV1MacSize = 6;
constexpr std::uint16_t kFamily = AF_UNIX;

sockaddr_un address_of(const std::string& name) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, name.data(), std::min(name.size(), sizeof address.sun_path));
  return address;
}

int connect_to(int fd, const std::string& name) {
  const sockaddr_un address = address_of(name);
  return ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address);
}

template <typename T>
void add(std::vector<std::uint8_t>& bytes, const T& word) {
  const std::size_t at = bytes.size();
  bytes.resize(at + sizeof word);
  std::memcpy(bytes.data() + at, &word, sizeof word);
}

// Changes who may use the socket at a path, and nothing that takes its place meanwhile.
void set_socket_mode(const std::string& path, mode_t mode) {
  const UniqueFd inode(::open(path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  struct stat info {};
  if (!inode || !file_status(inode.get(), info) || !S_ISSOCK(info.st_mode)) return;
  const std::string pinned = fmt::format("/proc/self/fd/{}", inode.get());
  [[maybe_unused]] const int changed = ::fchmodat(AT_FDCWD, pinned.c_str(), mode, 0);
}

std::string user_name() {
  const passwd* const user = ::getpwuid(own_user());
  return user != nullptr ? user->pw_name : fmt::format("{}", own_user());
}

Result<gid_t> group_number(const std::string& name) {
  if (name.empty()) return kNoGroup;
  const group* const found = ::getgrnam(name.c_str());
  if (found == nullptr) return Error{EINVAL, fmt::format("No such group '{}'", printable(name))};
  return found->gr_gid;
}

class PlugHandshake final : public CableAttempt {
 public:
  PlugHandshake(const PlugHandshakeSettings& settings, EventLoop& loop, CableDone done)
      : settings_(settings), loop_(loop), done_(std::move(done)) {}
  ~PlugHandshake() override { unlink_name(); }

  Result<void> begin();

 private:
  const VdeAddress& address() const { return settings_.address; }
  Result<void> connect_control();
  Result<void> make_data_socket();
  Result<void> bind_name();
  SocketAccess access() const;
  Result<void> send_request();
  void on_answer();
  Result<CableEnds> take_cable();
  void set_mode(const std::string& path) const;
  void unlink_name();
  void finish(Result<CableEnds> result);

  PlugHandshakeSettings settings_;
  EventLoop& loop_;
  CableDone done_;
  std::string control_path_;
  gid_t group_ = kNoGroup;
  UniqueFd control_;
  UniqueFd data_;
  std::string name_;  // of our data socket, while it has one
  std::array<std::uint8_t, kVdeReplySize> reply_{};
  std::size_t received_ = 0;
  EventLoop::Watch watch_;
  EventLoop::Timer deadline_;
};

Result<void> PlugHandshake::begin() {
  Result<gid_t> group = group_number(address().group);
  if (!group) return group.error();
  group_ = group.value();
  if (Result<void> done = connect_control(); !done) return done;
  if (Result<void> done = make_data_socket(); !done) return done;
  if (Result<void> done = send_request(); !done) return done;
  Result<EventLoop::Watch> watch =
      loop_.watch(control_.get(), EPOLLIN, [this](std::uint32_t) { on_answer(); });
  if (!watch) return watch.error();
  watch_ = watch.take();
  deadline_ = loop_.after(kAnswerTime, [this] {
    finish(Error{ETIMEDOUT, fmt::format("{} does not answer; vde_switch does so when the port is "
                                        "not to be had",
                                        printable(control_path_))});
  });
  return {};
}

// A full backlog is an error like others: the next try is soon.
Result<void> PlugHandshake::connect_control() {
  control_.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!control_) return Error{errno, fmt::format("socket: {}", std::strerror(errno))};
  if (!address().port_group.empty()) {
    control_path_ = address().directory + "/" + address().port_group;
    if (connect_to(control_.get(), control_path_) == 0) return {};
  }
  control_path_ = address().directory + "/ctl";
  if (connect_to(control_.get(), control_path_) == 0) return {};
  return Error{errno, fmt::format("{}: {}", printable(control_path_), std::strerror(errno))};
}

Result<void> PlugHandshake::make_data_socket() {
  data_.reset(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!data_) return Error{errno, fmt::format("socket: {}", std::strerror(errno))};
  if (::setsockopt(data_.get(), SOL_SOCKET, SO_SNDBUFFORCE, &kSendBuffer, sizeof kSendBuffer) !=
      0) {
    ::setsockopt(data_.get(), SOL_SOCKET, SO_SNDBUF, &kSendBuffer, sizeof kSendBuffer);
  }
  return bind_name();
}

// A switch of another user must be able to write to our socket. Where no group is asked for, it
// gets the group of the switch's, and if that is not allowed, everybody may: for the moment until
// the name is gone again.
SocketAccess PlugHandshake::access() const {
  SocketAccess access;
  access.mode = address().mode.value_or(0700);
  access.group = group_;
  struct stat control {};
  if (group_ != kNoGroup || (access.mode & 077U) != 0 ||
      ::stat(control_path_.c_str(), &control) != 0 || control.st_uid == 0 ||
      control.st_uid == own_user()) {
    return access;
  }
  access.mode |= own_user() == 0 ? 070U : 077U;
  if (own_user() == 0) access.group = control.st_gid;
  return access;
}

// In the directory, or where everybody may write when that is not allowed.
Result<void> PlugHandshake::bind_name() {
  const SocketAccess access = this->access();
  Result<void> bound;
  for (const std::string& start : {address().directory + "/.", std::string("/tmp/vde.")}) {
    for (std::uint32_t number = 0; number < kNamesTried; ++number) {
      const std::string name = fmt::format("{}{:05}-{:05}", start, ::getpid(), number);
      bound = bind_unix(data_.get(), name, access);
      if (bound) {
        name_ = name;
        return {};
      }
      if (bound.error().code != EADDRINUSE) break;
    }
  }
  return bound;
}

Result<void> PlugHandshake::send_request() {
  VdeRequest request;
  request.version = settings_.version;
  request.management_type = address().port == 0U;
  if (address().port) request.port = static_cast<std::uint16_t>(std::min(*address().port, 65535U));
  request.data_socket = name_;
  request.description = fmt::format("lanyard: user={} pid={}", user_name(), ::getpid());
  const std::vector<std::uint8_t> bytes = make_vde_request(request);
  const ssize_t sent = ::send(control_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  if (sent == static_cast<ssize_t>(bytes.size())) return {};
  return Error{sent < 0 ? errno : EIO,
               fmt::format("{} does not take the request", printable(control_path_))};
}

void PlugHandshake::on_answer() {
  const ssize_t count =
      ::recv(control_.get(), reply_.data() + received_, reply_.size() - received_, MSG_DONTWAIT);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (count <= 0) {
    return finish(Error{EACCES, fmt::format("{} has closed the connection: the port is taken, "
                                            "kept for others, or there is none free",
                                            printable(control_path_))});
  }
  received_ += static_cast<std::size_t>(count);
  if (received_ == reply_.size()) finish(take_cable());
}

Result<CableEnds> PlugHandshake::take_cable() {
  Result<std::string> name = parse_vde_reply(reply_);
  if (!name) return name.error();
  if (connect_to(data_.get(), name.value()) != 0) {
    return Error{errno, fmt::format("{}: {}", printable(name.value()), std::strerror(errno))};
  }
  set_mode(name.value());
  return CableEnds{std::move(data_), std::move(control_)};
}

// A switch that runs as root gives us its end of the cable, and with it the right to say who else
// may use it. Only what lies in its own directory: the name is its word.
void PlugHandshake::set_mode(const std::string& path) const {
  if (!address().mode || !path.starts_with(address().directory + "/")) return;
  set_socket_mode(path, *address().mode & 0777U);
}

void PlugHandshake::unlink_name() {
  if (!name_.empty()) unlink_socket(name_);
  name_.clear();
}

void PlugHandshake::finish(Result<CableEnds> result) {
  watch_.reset();
  deadline_.reset();
  unlink_name();
  control_.reset();
  data_.reset();
  const CableDone done = std::move(done_);
  done(std::move(result));
}

}  // namespace

std::vector<std::uint8_t> make_vde_request(const VdeRequest& request) {
  std::vector<std::uint8_t> bytes;
  add(bytes, kVdeMagic);
  std::uint32_t type = request.management_type ? 1 : 0;
  if (request.version == 1) {
    add(bytes, type);
    bytes.resize(bytes.size() + kV1MacSize);
  } else {
    if (!request.management_type) type |= std::uint32_t{request.port.value_or(0)} << 8;
    add(bytes, request.version);
    add(bytes, type);
  }
  add(bytes, kFamily);
  const std::size_t at = bytes.size();
  bytes.resize(at + kVdeSocketPathSize);
  std::memcpy(bytes.data() + at, request.data_socket.data(),
              std::min(request.data_socket.size(), kVdeSocketPathSize));
  bytes.insert(bytes.end(), request.description.begin(), request.description.end());
  return bytes;
}

Result<std::string> parse_vde_reply(std::span<const std::uint8_t, kVdeReplySize> reply) {
  std::uint16_t family = 0;
  std::memcpy(&family, reply.data(), sizeof family);
  const auto path = reply.subspan(sizeof family);
  if (family != AF_UNIX) {
    return Error{EPROTO, fmt::format("the switch answers with an address of family {}", family)};
  }
  if (path[0] != 0) return std::string(path.begin(), std::find(path.begin(), path.end(), 0));
  if (std::all_of(path.begin(), path.end(), [](std::uint8_t byte) { return byte == 0; })) {
    return Error{EPROTO, "the switch answers without the name of a data socket"};
  }
  return std::string(path.begin(), path.end());
}

Result<std::unique_ptr<CableAttempt>> begin_plug_handshake(const PlugHandshakeSettings& settings,
                                                           EventLoop& loop, CableDone done) {
  auto handshake = std::make_unique<PlugHandshake>(settings, loop, std::move(done));
  if (Result<void> begun = handshake->begin(); !begun) return begun.error();
  return std::unique_ptr<CableAttempt>(std::move(handshake));
}

}  // namespace lanyard
