// SPDX-License-Identifier: MIT
//
// One line being written at a terminal: cursor, history, completion. It is written here, and not by
// readline, whose licence would become that of the whole program, nor by libedit, which waits for
// keys by itself: the switch's own lines come in at any moment, and must stand above the one that
// is being written without tearing it. Pure: bytes of keys go in, bytes for the terminal come out.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lanyard {

class LineEditor {
 public:
  enum class Outcome : unsigned char { writing, line, interrupted, ended };
  // All that the text so far can become.
  using Complete = std::function<std::vector<std::string>(std::string_view so_far)>;

  LineEditor(std::string prompt, Complete complete)
      : prompt_(std::move(prompt)), complete_(std::move(complete)) {}

  // What the terminal shows grows by `screen`.
  Outcome key(unsigned char byte, std::string& screen);
  // The line that was written, and a fresh one.
  std::string take();

  // Takes the line off the screen, and puts it back.
  static void hide(std::string& screen);
  void show(std::string& screen) const;

  void set_columns(std::size_t columns) { columns_ = columns; }
  void remember(const std::string& line);
  const std::vector<std::string>& history() const { return history_; }

 private:
  Outcome plain(unsigned char byte, std::string& screen);
  Outcome control(unsigned char byte, std::string& screen);
  void sequence(unsigned char byte);
  void erase(std::size_t from, std::size_t to);
  void erase_word();
  void recall(std::size_t at);
  void earlier();
  void later();
  void complete(std::string& screen);

  static constexpr std::size_t kHistory = 500;
  static constexpr std::size_t kLineMax = 4096;

  std::string prompt_;
  Complete complete_;
  std::size_t columns_ = 80;
  std::string line_;
  std::size_t cursor_ = 0;
  std::string escape_;  // of a key that sends several bytes, so far
  std::vector<std::string> history_;
  std::size_t recalled_ = 0;  // from the end; 0: the line that is being written
  std::string written_;       // that line, while an older one is shown
};

// What all of them begin with.
std::string common_start(const std::vector<std::string>& words);

}  // namespace lanyard
