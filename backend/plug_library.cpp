// SPDX-License-Identifier: MIT
#include "backend/plug_library.h"

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include "switch/base/text.h"
#include "switch/frame/ethernet.h"

// The library's header does not know C++.
extern "C" {
#include <libvdeplug.h>
}

namespace lanyard {
namespace {

struct LibraryClose {
  void operator()(VDECONN* connection) const { ::vde_close(connection); }
};
using Connection = std::unique_ptr<VDECONN, LibraryClose>;

class LibraryThread final : public CableThread {
 public:
  explicit LibraryThread(std::string url) : url_(std::move(url)) {}

  std::string open() override {
    std::string description = "lanyard:";
    errno = 0;
    connection_.reset(::vde_open(url_.data(), description.data(), nullptr));
    if (connection_ != nullptr) return {};
    const int code = errno;
    if (code == EPROTONOSUPPORT) return "libvdeplug knows no such kind of network";
    return code != 0 ? std::strerror(code) : "libvdeplug cannot open it";
  }

  void run(const CableEnds& ends) override {
    while (pass_on(ends)) {
    }
  }

 private:
  // One wait, and at most one frame in each direction. False at the end of either side.
  bool pass_on(const CableEnds& ends) {
    std::array<pollfd, 4> fds{{{::vde_datafd(connection_.get()), POLLIN, 0},
                               {::vde_ctlfd(connection_.get()), POLLIN, 0},
                               {ends.data.get(), POLLIN, 0},
                               {ends.control.get(), POLLIN, 0}}};
    if (::poll(fds.data(), fds.size(), -1) < 0) return errno == EINTR;
    if (fds[3].revents != 0) return false;
    if (fds[1].revents != 0 && has_ended(fds[1].fd)) return false;
    if (fds[0].revents != 0 && !receive(ends)) return false;
    return fds[2].revents == 0 || send(ends);
  }

  static bool has_ended(int fd) {
    std::array<char, 256> ignored;
    const ssize_t count = ::recv(fd, ignored.data(), ignored.size(), MSG_DONTWAIT);
    return count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR);
  }

  bool receive(const CableEnds& ends) {
    const ssize_t size = ::vde_recv(connection_.get(), frame_.data(), frame_.size(), 0);
    if (size < 0) return errno == EAGAIN || errno == EINTR;
    if (size == 0) return false;
    // One byte is how the library says that this was nothing for us.
    if (size < static_cast<ssize_t>(kEthernetHeaderSize)) return true;
    const auto count = static_cast<std::size_t>(size);
    // The switch lags behind: it is a frame less, as on any cable.
    ::send(ends.data.get(), frame_.data(), count, MSG_NOSIGNAL | MSG_DONTWAIT);
    return true;
  }

  bool send(const CableEnds& ends) {
    const ssize_t size = ::recv(ends.data.get(), frame_.data(), frame_.size(), MSG_DONTWAIT);
    if (size <= 0) return size < 0 && (errno == EAGAIN || errno == EINTR);
    const auto count = static_cast<std::size_t>(size);
    const ssize_t sent = ::vde_send(connection_.get(), frame_.data(), count, 0);
    return sent >= 0 || (errno != EPIPE && errno != ENOTCONN && errno != EBADF);
  }

  std::string url_;
  Connection connection_;
  std::vector<char> frame_ = std::vector<char>(kMaxFrameSize);
};

}  // namespace

Result<std::unique_ptr<CableAttempt>> begin_plug_library(const std::string& url, EventLoop& loop,
                                                         CableDone done) {
  return begin_thread_cable(std::make_unique<LibraryThread>(url), loop, std::move(done));
}

}  // namespace lanyard
