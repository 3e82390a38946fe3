//! Files that a compiler would choke on.
//!
//! Those of [`COUNTED`] have more of something than any checker needs, which is seen before they are compiled. In those of
//! [`BOMBS`] every count is one that an honest checker could have: each is an honest checker with one core module more,
//! which nothing ever instantiates, and which a compiler compiles all the same. What they cost is noted in the tests.

use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, ElementSection, Elements, Encode as _, Function, FunctionSection,
    Instruction, InstructionSink, MemorySection, MemoryType, Module, RefType, TableSection, TableType,
    TypeSection, ValType,
};

/// The largest body of a function that validators accept (`wasmparser::limits`), with room for its locals.
const BODY: usize = 7_654_321 - 1_024;
/// And the most locals.
const LOCALS: u32 = 50_000;

/// A name, and what makes the file.
pub type Bomb = (&'static str, fn() -> Vec<u8>);

/// Every bomb that passes all counts.
pub const BOMBS: &[Bomb] = &[
    ("many-functions", many_functions),
    ("nested-blocks", nested_blocks),
    ("locals-and-loops", locals_and_loops),
    ("wide-signatures", wide_signatures),
    ("full-table", full_table),
];

/// Every bomb that is refused for a count in it, by what there is too much of.
pub const COUNTED: &[Bomb] = &[
    ("data segments", data_segments),
    ("functions", tiny_functions),
    ("core instances", instances),
    ("components inside one another", nested_components),
];

/// What a component begins with, and what a core module begins with.
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
const MODULE: &[u8] = b"\0asm\x01\0\0\0";

/// A section of raw bytes.
fn section(id: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![id];
    content.encode(&mut bytes);
    bytes
}

/// A vector of so many times the same.
fn repeated(count: u32, item: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    count.encode(&mut bytes);
    bytes.extend(item.repeat(count as usize));
    bytes
}

/// 90,000 data segments: those of a 2.9 MB file took a compiler 22 s and 1.85 GB.
fn data_segments() -> Vec<u8> {
    let module = [MODULE, &section(11, &repeated(90_000, &[1, 0]))].concat();
    [COMPONENT, &section(1, &module)].concat()
}

/// 200,000 functions that do nothing.
fn tiny_functions() -> Vec<u8> {
    let module = [
        MODULE,
        &section(1, &[1, 0x60, 0, 0]),
        &section(3, &repeated(200_000, &[0])),
        &section(10, &repeated(200_000, &[2, 0, 0x0b])),
    ];
    [COMPONENT, &section(1, &module.concat())].concat()
}

/// A million instances made of nothing.
fn instances() -> Vec<u8> {
    [COMPONENT, &section(2, &repeated(1_000_000, &[1, 0]))].concat()
}

/// A hundred components, each in the next.
fn nested_components() -> Vec<u8> {
    (0..100).fold(COMPONENT.to_vec(), |inner, _| {
        [COMPONENT, &section(4, &inner)].concat()
    })
}

/// An honest checker with this module in it.
fn component_with(module: &Module) -> Vec<u8> {
    let mut bytes = super::guest("honest").unwrap_or_default();
    // Section 1 of a component holds a core module.
    bytes.push(1);
    module.as_slice().encode(&mut bytes);
    bytes
}

/// A module of one function without parameters.
fn module_of(function: &Function) -> Module {
    let mut types = TypeSection::new();
    types.ty().function([], []);
    let mut functions = FunctionSection::new();
    functions.function(0);
    let mut memories = MemorySection::new();
    memories.memory(MemoryType {
        minimum: 1,
        maximum: None,
        memory64: false,
        shared: false,
        page_size_log2: None,
    });
    let mut code = CodeSection::new();
    code.function(function);
    let mut module = Module::new();
    module
        .section(&types)
        .section(&functions)
        .section(&memories)
        .section(&code);
    module
}

/// Nearly as many functions as are allowed, of a few hundred bytes each: some ten million instructions.
fn many_functions() -> Vec<u8> {
    const COUNT: u32 = 99_000;
    let mut types = TypeSection::new();
    types.ty().function([ValType::I64, ValType::F64], [ValType::I64]);
    let mut functions = FunctionSection::new();
    let mut code = CodeSection::new();
    let mut body = Function::new([]);
    let mut sink = body.instructions();
    sink.local_get(0);
    for number in 0..60 {
        sink.i64_const(0x0123_4567_89ab + number)
            .i64_mul()
            .local_get(0)
            .i64_xor();
    }
    sink.end();
    for _ in 0..COUNT {
        functions.function(0);
        code.function(&body);
    }
    let mut module = Module::new();
    module.section(&types).section(&functions).section(&code);
    component_with(&module)
}

/// Two and a half million blocks inside one another.
fn nested_blocks() -> Vec<u8> {
    let mut function = Function::new([]);
    let depth = BODY / 3;
    for _ in 0..depth {
        function.instructions().block(BlockType::Empty);
    }
    for _ in 0..=depth {
        function.instructions().end();
    }
    component_with(&module_of(&function))
}

/// As many locals as are allowed, each changed in loops inside one another: every loop's head has a value for each.
fn locals_and_loops() -> Vec<u8> {
    let mut function = Function::new([(LOCALS, ValType::I64)]);
    let mut local = 0;
    let turn = |sink: &mut InstructionSink<'_>, local: u32| {
        sink.loop_(BlockType::Empty);
        for step in 0..40 {
            let own = (local + step * 997) % LOCALS;
            sink.local_get(own)
                .local_get((own + 1) % LOCALS)
                .i64_add()
                .local_set(own);
        }
        sink.local_get(local).i32_wrap_i64().br_if(0);
    };
    let mut open = 0;
    while function.byte_len() < BODY - 512 - 64 {
        local = (local + 1) % LOCALS;
        turn(&mut function.instructions(), local);
        open += 1;
        // Not too deep, so that it is the values that count.
        if open == 50 {
            for _ in 0..open {
                function.instructions().end();
            }
            open = 0;
        }
    }
    for _ in 0..=open {
        function.instructions().end();
    }
    component_with(&module_of(&function))
}

/// Functions of a thousand parameters and a thousand results that call each other.
fn wide_signatures() -> Vec<u8> {
    const COUNT: u32 = 5_000;
    let wide = || std::iter::repeat_n(ValType::F64, 1_000);
    let mut types = TypeSection::new();
    types.ty().function(wide(), wide());
    let mut functions = FunctionSection::new();
    let mut code = CodeSection::new();
    let mut elements = ElementSection::new();
    for number in 0..COUNT {
        functions.function(0);
        let mut body = Function::new([]);
        let mut sink = body.instructions();
        for local in 0..1_000 {
            sink.local_get(local);
        }
        sink.call((number + 1) % COUNT).end();
        code.function(&body);
    }
    // Reachable from outside, so that each needs a way in.
    elements.declared(Elements::Functions((0..COUNT).collect::<Vec<_>>().into()));
    let mut module = Module::new();
    module
        .section(&types)
        .section(&functions)
        .section(&elements)
        .section(&code);
    component_with(&module)
}

/// A table of ten million elements, each filled in by one segment.
fn full_table() -> Vec<u8> {
    const COUNT: usize = 10_000_000;
    let mut types = TypeSection::new();
    types.ty().function([], []);
    let mut functions = FunctionSection::new();
    functions.function(0);
    let mut tables = TableSection::new();
    tables.table(TableType {
        element_type: RefType::FUNCREF,
        minimum: COUNT as u64,
        maximum: None,
        table64: false,
        shared: false,
    });
    let mut elements = ElementSection::new();
    elements.active(
        None,
        &ConstExpr::i32_const(0),
        Elements::Functions(vec![0; COUNT].into()),
    );
    let mut code = CodeSection::new();
    let mut body = Function::new([]);
    body.instruction(&Instruction::End);
    code.function(&body);
    let mut module = Module::new();
    module
        .section(&types)
        .section(&functions)
        .section(&tables)
        .section(&elements)
        .section(&code);
    component_with(&module)
}
