// SPDX-License-Identifier: MIT
//
// A stream socket on which both sides speak in lines, served by an event loop: JSON-RPC between the
// daemon and its clients, and between the daemon and its gateways.
//
// What makes it hard: the peer may be slow, silent or hostile. Output waits in a bounded buffer and
// a peer that lets it overflow is cut off; a line that is too long is reported, not stored; input
// is not read while `hold` is on, so that a peer cannot make us answer faster than it reads.
// Callbacks may close or destroy the channel. Lane thread only; nothing here blocks.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "switch/base/fd.h"
#include "switch/base/line_reader.h"
#include "switch/base/result.h"
#include "switch/runtime/event_loop.h"

namespace lanyard {

// With a newline; whole or, at std::bad_alloc, not at all.
void append_line(std::string& text, std::string_view line);

class LineChannel {
 public:
  struct Limits {
    std::size_t line_max = std::size_t{1} << 20;
    std::size_t output_max = std::size_t{8} << 20;
  };
  struct Callbacks {
    std::function<void(std::string_view line)> line;
    std::function<void()> too_long;  // a line beyond line_max came and was skipped
    std::function<void()> closed;    // by the peer, an error, or because it let output overflow
  };

  // Takes a connected stream socket.
  static Result<std::unique_ptr<LineChannel>> open(EventLoop& loop, UniqueFd fd, Limits limits,
                                                   Callbacks callbacks);
  ~LineChannel();
  LineChannel(const LineChannel&) = delete;
  LineChannel& operator=(const LineChannel&) = delete;

  // Sends a line, without its newline. False when the channel is closed or has just been, for want
  // of room; at std::bad_alloc nothing of it has been sent.
  bool send(std::string_view line);
  // Sends a part of a line; the last part brings the newline itself.
  bool send_part(std::string_view part);
  // While held, no line is delivered and nothing is read; also from within the line callback. Let
  // go, lines come from the loop's next round on.
  void hold(bool held);
  // Ends the connection once what has been sent is written.
  void finish();
  // Ends it in the loop's next round, without memory, and without a word of what is unsent.
  void cut_off();
  bool is_closed() const { return !fd_; }
  int fd() const { return fd_.get(); }
  std::size_t unsent() const { return out_.size() - written_; }
  // What has been received and not been delivered; nullopt in the midst of a line that is too long.
  std::optional<std::string_view> unread() const;
  // Delivers that as if it had just come, from the loop's next round on.
  void receive_again(std::string_view unread);

 private:
  LineChannel(UniqueFd fd, Limits limits, Callbacks callbacks);

  void on_events(std::uint32_t events);
  void read_some();
  void run_lines();
  void flush();
  void close();
  void run_later();
  void on_later();
  void update_interest();

  // Above this much unsent output no more input is taken.
  static constexpr std::size_t kHold = 65536;

  UniqueFd fd_;
  Limits limits_;
  Callbacks callbacks_;
  EventLoop* loop_ = nullptr;
  EventLoop::Watch watch_;
  EventLoop::Timer later_;  // lines that wait for the peer to read
  LineReader reader_;
  std::string out_;
  std::size_t written_ = 0;
  bool finishing_ = false;
  bool held_ = false;
  bool cut_off_ = false;
  bool input_ended_ = false;
  std::shared_ptr<bool> alive_;  // false once destroyed, for callbacks that end us
};

}  // namespace lanyard
