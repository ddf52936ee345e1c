#include "laminet/files/json.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <utility>

#include "laminet/files/format_error.h"

namespace laminet {
namespace {

// Values within values are parsed by functions that call each other.
constexpr int kMostLevels = 256;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// What a number is that has no place among doubles: infinity, or so small that it is 0. `digits`
// are those before an exponent.
double beyond_doubles(std::string_view digits, long exponent) {
  const std::size_t first = digits.find_first_of("123456789");
  const std::size_t point = std::min(digits.find('.'), digits.size());
  const bool negative = digits.front() == '-';
  const long leading = first == std::string_view::npos
                           ? std::numeric_limits<int>::min()
                           : static_cast<long>(point) - static_cast<long>(first);
  const double size = leading + exponent > 0 ? std::numeric_limits<double>::infinity() : 0.0;
  return negative ? -size : size;
}

class Parser {
 public:
  Parser(std::string_view text, const std::string& where) : text_(text), where_(where) {}

  JsonValue whole() {
    JsonValue value = any(0);
    skip_space();
    require_that(at_ == text_.size(), "something follows the value");
    return value;
  }

 private:
  template <class... Parts>
  void require_that(bool condition, const Parts&... what) const {
    require_format(condition, where_, ": not JSON: ", what..., " at character ", at_);
  }

  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  void skip_space() { at_ = std::min(text_.find_first_not_of(" \t\n\r", at_), text_.size()); }
  bool take(char c) {
    if (peek() != c || at_ == text_.size()) return false;
    ++at_;
    return true;
  }
  bool take_word(std::string_view word) {
    if (text_.substr(at_, word.size()) != word) return false;
    at_ += word.size();
    return true;
  }

  JsonValue any(int level) {
    require_that(level < kMostLevels, "nested too deeply");
    skip_space();
    if (take('{')) return {object(level)};
    if (take('[')) return {array(level)};
    if (take('"')) return {string()};
    if (take_word("null")) return {nullptr};
    if (take_word("true")) return {true};
    if (take_word("false")) return {false};
    return number();
  }

  JsonValue::Object object(int level) {
    JsonValue::Object members;
    skip_space();
    if (take('}')) return members;
    do {
      skip_space();
      require_that(take('"'), "a key is missing");
      std::string key = string();
      skip_space();
      require_that(take(':'), "':' is missing");
      members.push_back({std::move(key), any(level + 1)});
      skip_space();
    } while (take(','));
    require_that(take('}'), "'}' is missing");
    std::vector<std::string_view> keys;
    for (const JsonMember& member : members) keys.push_back(member.key);
    std::sort(keys.begin(), keys.end());
    require_format(std::adjacent_find(keys.begin(), keys.end()) == keys.end(), where_,
                   ": a key appears twice");
    return members;
  }

  JsonValue::Array array(int level) {
    JsonValue::Array values;
    skip_space();
    if (take(']')) return values;
    do {
      values.push_back(any(level + 1));
      skip_space();
    } while (take(','));
    require_that(take(']'), "']' is missing");
    return values;
  }

  std::string string() {
    std::string result;
    for (;;) {
      require_that(at_ < text_.size(), "'\"' is missing");
      const char c = text_[at_++];
      if (c == '"') return result;
      require_that(static_cast<unsigned char>(c) >= 0x20, "a control character");
      if (c == '\\') {
        escaped(result);
      } else {
        result += c;
      }
    }
  }

  void escaped(std::string& result) {
    constexpr std::string_view kLetters = "\"\\/bfnrt";
    constexpr std::string_view kMeanings = "\"\\/\b\f\n\r\t";
    const std::size_t letter = at_ < text_.size() ? kLetters.find(text_[at_]) : std::string::npos;
    if (letter != std::string::npos) {
      ++at_;
      result += kMeanings[letter];
      return;
    }
    require_that(take('u'), "no escape");
    std::uint32_t code = four_digits();
    if (code >= 0xD800 && code < 0xDC00 && text_.substr(at_, 2) == "\\u") {
      const std::size_t before = at_;
      at_ += 2;
      const std::uint32_t low = four_digits();
      if (low >= 0xDC00 && low < 0xE000) {
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
      } else {
        at_ = before;
      }
    }
    append_utf8(result, code);
  }

  std::uint32_t four_digits() {
    std::uint32_t code = 0;
    const std::string_view digits = text_.substr(at_, 4);
    const auto [end, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), code, 16);
    require_that(error == std::errc() && end == digits.data() + 4, "no four digits of an escape");
    at_ += 4;
    return code;
  }

  static void append_utf8(std::string& result, std::uint32_t code) {
    const auto following = [&](int shift) {
      result += static_cast<char>(0x80 | ((code >> shift) & 0x3F));
    };
    if (code < 0x80) {
      result += static_cast<char>(code);
    } else if (code < 0x800) {
      result += static_cast<char>(0xC0 | (code >> 6));
      following(0);
    } else if (code < 0x10000) {
      result += static_cast<char>(0xE0 | (code >> 12));
      following(6);
      following(0);
    } else {
      result += static_cast<char>(0xF0 | (code >> 18));
      following(12);
      following(6);
      following(0);
    }
  }

  void digits() {
    require_that(is_digit(peek()), "no value");
    while (is_digit(peek())) ++at_;
  }

  JsonValue number() {
    const std::size_t begin = at_;
    take('-');
    if (!take('0')) digits();
    bool integer = true;
    if (take('.')) {
      integer = false;
      digits();
    }
    const std::string_view mantissa = text_.substr(begin, at_ - begin);
    long exponent = 0;
    if (take('e') || take('E')) {
      integer = false;
      if (!take('-')) take('+');
      const std::size_t first = at_;
      digits();
      const std::string_view power = text_.substr(first, at_ - first);
      // So long as to be beyond the digits of any file, but not of a sum with their number.
      const auto [end, error] =
          std::from_chars(power.data(), power.data() + power.size(), exponent);
      if (error != std::errc() || exponent > std::numeric_limits<int>::max()) {
        exponent = std::numeric_limits<int>::max();
      }
      if (text_[first - 1] == '-') exponent = -exponent;
    }
    const std::string_view all = text_.substr(begin, at_ - begin);
    if (integer) {
      std::int64_t value = 0;
      const auto [end, error] = std::from_chars(all.data(), all.data() + all.size(), value);
      if (error == std::errc()) return {value};
    }
    double value = 0;
    const auto [end, error] = std::from_chars(all.data(), all.data() + all.size(), value);
    if (error != std::errc()) value = beyond_doubles(mantissa, exponent);
    return {value};
  }

  std::string_view text_;
  const std::string& where_;
  std::size_t at_ = 0;
};

}  // namespace

const JsonValue* JsonValue::find(std::string_view key) const {
  const Object* members = object();
  if (!members) return nullptr;
  const auto found = std::find_if(members->begin(), members->end(),
                                  [&](const JsonMember& member) { return member.key == key; });
  return found == members->end() ? nullptr : &found->value;
}

JsonValue parse_json(std::string_view text, const std::string& where) {
  return Parser(text, where).whole();
}

bool is_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto first = static_cast<unsigned char>(text[i++]);
    if (first < 0x80) continue;
    const int more = first >= 0xF0 ? 3 : first >= 0xE0 ? 2 : 1;
    if (first < 0xC2 || first > 0xF4) return false;
    std::uint32_t code = first & (0x3Fu >> more);
    for (int k = 0; k < more; ++k, ++i) {
      if (i == text.size() || (static_cast<unsigned char>(text[i]) & 0xC0) != 0x80) return false;
      code = (code << 6) | (static_cast<unsigned char>(text[i]) & 0x3Fu);
    }
    // No code in more bytes than it needs, none of a surrogate, none beyond Unicode.
    constexpr std::uint32_t kLeast[] = {0, 0x80, 0x800, 0x10000};
    if (code < kLeast[more] || (code >= 0xD800 && code < 0xE000) || code > 0x10FFFF) return false;
  }
  return true;
}

}  // namespace laminet
