//! Every type of WIT, both ways.

use std::cell::{Cell, RefCell};
use std::hint;

use exports::test::types1_2_0::calls::{self, Failure, Position, PurchaseOrder};
use exports::test::types1_2_0::echo::{self, *};
use test::types1_0_0::host;

wit_bindgen::generate!({ world: "types", generate_all });

struct Types;

export!(Types);

/// Functions that return their only argument.
macro_rules! echo {
    ($($name:ident: $type:ty,)*) => {
        impl echo::Guest for Types {
            $(fn $name(value: $type) -> $type {
                value
            })*
        }
    };
}

echo! {
    echo_bool: bool,
    echo_u8: u8,
    echo_s8: i8,
    echo_u16: u16,
    echo_s16: i16,
    echo_u32: u32,
    echo_s32: i32,
    echo_u64: u64,
    echo_s64: i64,
    echo_f32: f32,
    echo_f64: f64,
    echo_char: char,
    echo_string: String,
    echo_list_u8: Vec<u8>,
    echo_list_u32: Vec<u32>,
    echo_list_s64: Vec<i64>,
    echo_list_f64: Vec<f64>,
    echo_list_bool: Vec<bool>,
    echo_list_char: Vec<char>,
    echo_list_string: Vec<String>,
    echo_list_list: Vec<Vec<u8>>,
    echo_list_point: Vec<Point>,
    echo_list_person: Vec<Person>,
    echo_point: Point,
    echo_person: Person,
    echo_single: Single,
    echo_wide: Wide,
    echo_tuple: (u8, String, f64),
    echo_tuple_one: (String,),
    echo_tuple_nested: ((u8, i8), Vec<(char, bool)>),
    echo_option: Option<u32>,
    echo_option_string: Option<String>,
    echo_option_option: Option<Option<u32>>,
    echo_option_point: Option<Point>,
    echo_result: Result<u32, String>,
    echo_result_ok: Result<u32, ()>,
    echo_result_error: Result<(), String>,
    echo_result_bare: Result<(), ()>,
    echo_result_nested: Result<Option<Point>, Result<Vec<u8>, Shape>>,
    echo_shape: Shape,
    echo_outer: Outer,
    echo_list_shape: Vec<Shape>,
    echo_color: Color,
    echo_list_color: Vec<Color>,
    echo_permissions: Permissions,
    echo_twelve: Twelve,
    echo_thirty_two: ThirtyTwo,
    echo_list_permissions: Vec<Permissions>,
    echo_rows: ByteRows,
    echo_deep: Deep,
}

impl calls::Guest for Types {
    fn log(message: String) {
        host::log(&message);
    }

    fn upcase(text: String) -> String {
        host::upcase(&text)
    }

    fn double_all(numbers: Vec<u32>) -> Vec<u32> {
        host::double_all(&numbers)
    }

    fn reverse_bytes(bytes: Vec<u8>) -> Vec<u8> {
        host::reverse_bytes(&bytes)
    }

    fn move_by(at: Position, by: Position) -> Position {
        host::move_by(at, by)
    }

    fn find(key: String) -> Option<String> {
        host::find(&key)
    }

    fn check(number: i32) -> Result<u32, String> {
        host::check(number)
    }

    fn confirm(text: String) -> Result<(), ()> {
        host::confirm(&text)
    }

    fn price(order: PurchaseOrder) -> Result<PurchaseOrder, Failure> {
        host::price(&order)
    }

    fn ask(question: String) -> u32 {
        ask(&question)
    }

    fn ask_often(question: String, times: u32) -> u64 {
        (0..times).map(|_| u64::from(ask(&question))).sum()
    }
}

thread_local! {
    static KEPT: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    static COUNT: Cell<u32> = const { Cell::new(0) };
}

impl Guest for Types {
    fn add(a: i32, b: i32) -> i32 {
        a.wrapping_add(b)
    }

    fn greet(name: String) -> String {
        format!("Hello, {name}!")
    }

    fn nothing() {}

    fn widen(span: Span) -> Span {
        Span {
            low: span.low - 1,
            high: span.high + 1,
        }
    }

    fn many(
        p1: u8,
        p2: String,
        p3: u16,
        p4: String,
        p5: u32,
        p6: String,
        p7: u64,
        p8: String,
        p9: i8,
        p10: f64,
        p11: bool,
        p12: char,
    ) -> String {
        format!("{p1} {p2} {p3} {p4} {p5} {p6} {p7} {p8} {p9} {p10} {p11} {p12}")
    }

    fn panic(message: String) {
        panic!("{message}");
    }

    fn spin() {
        loop {
            hint::black_box(0);
        }
    }

    fn big_string(n: u32) -> String {
        "x".repeat(n as usize)
    }

    fn eat(n: u32) -> u32 {
        KEPT.with_borrow_mut(|kept| {
            kept.extend((0..n).map(|_| hint::black_box(vec![1; 1 << 20])));
            kept.len() as u32
        })
    }

    fn count() -> u32 {
        COUNT.set(COUNT.get() + 1);
        COUNT.get()
    }
}
