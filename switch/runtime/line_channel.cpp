// SPDX-License-Identifier: MIT
#include "switch/runtime/line_channel.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "switch/base/transient_error.h"

namespace lanyard {

void append_line(std::string& text, std::string_view line) {
  const std::size_t size = text.size() + line.size() + 1;
  if (size > text.capacity()) text.reserve(std::max(size, 2 * text.capacity()));
  text += line;
  text += '\n';
}

LineChannel::LineChannel(UniqueFd fd, Limits limits, Callbacks callbacks)
    : fd_(std::move(fd)),
      limits_(limits),
      callbacks_(std::move(callbacks)),
      reader_(limits.line_max),
      alive_(std::make_shared<bool>(true)) {}

Result<std::unique_ptr<LineChannel>> LineChannel::open(EventLoop& loop, UniqueFd fd, Limits limits,
                                                       Callbacks callbacks) {
  const int flags = ::fcntl(fd.get(), F_GETFL);
  ::fcntl(fd.get(), F_SETFL, flags | O_NONBLOCK);
  std::unique_ptr<LineChannel> channel(
      new LineChannel(std::move(fd), limits, std::move(callbacks)));
  LineChannel* const at = channel.get();
  at->loop_ = &loop;
  Result<EventLoop::Watch> watch =
      loop.watch(at->fd_.get(), EPOLLIN, [at](std::uint32_t events) { at->on_events(events); });
  if (!watch) return watch.error();
  at->watch_ = watch.take();
  // Prepared: who sends may find no memory, but what is sent is sent.
  at->later_ = loop.prepare([at] { at->on_later(); });
  return channel;
}

LineChannel::~LineChannel() {
  *alive_ = false;
}

void LineChannel::on_events(std::uint32_t events) {
  if (cut_off_) return close();
  const std::shared_ptr<bool> alive = alive_;
  const bool done = loop_->run([&] {
    if ((events & EPOLLOUT) != 0) flush();
    if (*alive && fd_ && (events & ~static_cast<std::uint32_t>(EPOLLOUT)) != 0) read_some();
    if (*alive && fd_) run_lines();
  });
  // Of a line that was given up midway nobody knows any more.
  if (!done && *alive) cut_off();
}

void LineChannel::read_some() {
  std::array<char, 65536> chunk;
  const ssize_t count = ::recv(fd_.get(), chunk.data(), chunk.size(), MSG_DONTWAIT);
  if (count < 0 && is_transient(errno)) return;
  if (count <= 0) {
    input_ended_ = true;
    if (count < 0) close();
    return;
  }
  reader_.add({chunk.data(), static_cast<std::size_t>(count)});
}

void LineChannel::run_lines() {
  const std::shared_ptr<bool> alive = alive_;
  while (unsent() < kHold && !finishing_ && !held_ && !cut_off_) {
    const std::optional<LineReader::Line> line = reader_.next();
    if (!line) {
      if (input_ended_) close();
      break;
    }
    if (line->too_long) {
      if (callbacks_.too_long) callbacks_.too_long();
    } else {
      callbacks_.line(line->text);
    }
    if (!*alive || !fd_) return;
  }
  if (*alive && fd_) update_interest();
}

bool LineChannel::send(std::string_view line) {
  if (!fd_ || finishing_) return false;
  append_line(out_, line);
  return send_part({});
}

bool LineChannel::send_part(std::string_view part) {
  if (!fd_ || finishing_) return false;
  out_ += part;
  if (unsent() > limits_.output_max) {
    close();
    return false;
  }
  const std::shared_ptr<bool> alive = alive_;
  flush();
  return *alive && fd_;
}

void LineChannel::hold(bool held) {
  if (held_ == held || !fd_) return;
  held_ = held;
  if (!held) run_later();
  update_interest();
}

std::optional<std::string_view> LineChannel::unread() const {
  if (reader_.skipping()) return std::nullopt;
  return reader_.unread();
}

void LineChannel::receive_again(std::string_view unread) {
  reader_.add(unread);
  if (!unread.empty()) run_later();
}

void LineChannel::run_later() {
  if (!held_) later_.hurry();
}

void LineChannel::on_later() {
  if (held_ || !fd_) return;
  const std::shared_ptr<bool> alive = alive_;
  if (!loop_->run([this] { run_lines(); }) && *alive) cut_off();
}

void LineChannel::finish() {
  finishing_ = true;
  if (fd_) flush();
}

// The peer sees an end, and so does the loop, whatever it waits for.
void LineChannel::cut_off() {
  cut_off_ = true;
  if (fd_) ::shutdown(fd_.get(), SHUT_RDWR);
}

void LineChannel::flush() {
  while (unsent() != 0) {
    const ssize_t count =
        ::send(fd_.get(), out_.data() + written_, unsent(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && !is_transient(errno)) return close();
    if (count < 0) break;
    written_ += static_cast<std::size_t>(count);
  }
  if (unsent() == 0) {
    out_.clear();
    written_ = 0;
    if (finishing_) return close();
    // Lines may wait that were not run while the peer did not read; not from here, where the caller
    // may be one of them.
    if (reader_.buffered() != 0) run_later();
  } else if (written_ > limits_.output_max / 2) {
    out_.erase(0, written_);
    written_ = 0;
  }
  update_interest();
}

void LineChannel::update_interest() {
  const std::uint32_t in =
      unsent() < kHold && !input_ended_ && !finishing_ && !held_ ? 0U + EPOLLIN : 0U;
  const std::uint32_t out = unsent() != 0 ? 0U + EPOLLOUT : 0U;
  watch_.set_events(in | out);
}

void LineChannel::close() {
  if (!fd_) return;
  watch_.reset();
  later_.reset();
  fd_.reset();
  if (callbacks_.closed) callbacks_.closed();
}

}  // namespace lanyard
