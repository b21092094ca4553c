// SPDX-License-Identifier: MIT
#include "switch/runtime/line_channel.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <new>
#include <string>
#include <vector>

namespace lanyard {
namespace {

class LineChannelTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::array<int, 2> ends{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    peer_.reset(ends[1]);
    LineChannel::Callbacks callbacks;
    callbacks.line = [this](std::string_view line) {
      lines_.emplace_back(line);
      if (line == "starve") throw std::bad_alloc();
    };
    callbacks.closed = [this] { closed_ = true; };
    channel_ =
        LineChannel::open(*loop_, UniqueFd(ends[0]), LineChannel::Limits{}, std::move(callbacks))
            .take();
  }
  void say(std::string_view text) const {
    ASSERT_EQ(::write(peer_.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  // What has come so far; "END" when the connection has ended.
  std::string heard() const {
    std::array<char, 256> bytes{};
    const ssize_t count = ::recv(peer_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    return count == 0 ? "END" : std::string(bytes.data(), count < 0 ? 0 : std::size_t(count));
  }
  void turn(int times = 3) const {
    for (int i = 0; i < times; ++i) loop_->run_once(true);
  }

  std::unique_ptr<EventLoop> loop_ = EventLoop::create().take();
  std::unique_ptr<LineChannel> channel_;
  UniqueFd peer_;
  std::vector<std::string> lines_;
  bool closed_ = false;
};

TEST_F(LineChannelTest, DeliversLinesAndSendsThem) {
  say("one\ntwo\nth");
  turn();
  EXPECT_EQ(lines_, (std::vector<std::string>{"one", "two"}));
  EXPECT_TRUE(channel_->send("answer"));
  EXPECT_EQ(heard(), "answer\n");
  EXPECT_FALSE(closed_);
}

TEST_F(LineChannelTest, DeliversWhatCameWhileItWasHeld) {
  channel_->hold(true);
  say("one\n");
  turn();
  EXPECT_TRUE(lines_.empty());
  channel_->hold(false);
  turn();
  EXPECT_EQ(lines_, std::vector<std::string>{"one"});
}

TEST_F(LineChannelTest, CutsOffWhoseLineFoundNoMemory) {
  say("starve\nnext\n");
  turn();
  EXPECT_EQ(lines_, std::vector<std::string>{"starve"});
  EXPECT_EQ(heard(), "END");
  EXPECT_TRUE(closed_);
  EXPECT_TRUE(channel_->is_closed());
}

TEST_F(LineChannelTest, EndsAtOnceWhenItIsCutOffWhileHeld) {
  channel_->hold(true);
  channel_->cut_off();
  EXPECT_EQ(heard(), "END");
  turn();
  EXPECT_TRUE(closed_);
}

TEST(AppendLine, AddsANewline) {
  std::string text = "one\n";
  append_line(text, "two");
  append_line(text, "");
  EXPECT_EQ(text, "one\ntwo\n\n");
}

}  // namespace
}  // namespace lanyard
