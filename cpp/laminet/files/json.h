// Values of JSON texts, as strict as files from elsewhere need it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace laminet {

struct JsonMember;

struct JsonValue {
  using Array = std::vector<JsonValue>;
  using Object = std::vector<JsonMember>;

  // Numbers with neither a fraction nor an exponent are integers where they fit into 64 bits.
  std::variant<std::nullptr_t, bool, std::int64_t, double, std::string, Array, Object> value;

  bool null() const { return std::holds_alternative<std::nullptr_t>(value); }
  const std::int64_t* integer() const { return std::get_if<std::int64_t>(&value); }
  const std::string* text() const { return std::get_if<std::string>(&value); }
  const Array* array() const { return std::get_if<Array>(&value); }
  const Object* object() const { return std::get_if<Object>(&value); }
  // The value with that key, where this is an object that has it; else null.
  const JsonValue* find(std::string_view key) const;
};

struct JsonMember {
  std::string key;
  JsonValue value;
};

// Throws FormatError (format_error.h) in which `where` is named: for what the standard does not
// allow, a key that an object has twice, and more than 256 levels.
JsonValue parse_json(std::string_view text, const std::string& where);

// Whether a text is UTF-8.
bool is_utf8(std::string_view text);

}  // namespace laminet
