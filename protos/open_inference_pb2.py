"""Generated from open_inference.proto by protos/generate.py. Do not edit."""

from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.message_factory import GetMessageClass

POOL = DescriptorPool()
DESCRIPTOR = POOL.AddSerializedFile(
    b'\n\x14open_inference.proto\x12\tinference"\x13\n\x11ServerLiveRequest"(\n\x12Se'
    b'rverLiveResponse\x12\x12\n\x04live\x18\x01 \x01(\x08R\x04live"\x14\n\x12ServerReadyRequest"+'
    b'\n\x13ServerReadyResponse\x12\x14\n\x05ready\x18\x01 \x01(\x08R\x05ready"A\n\x11ModelReadyReq'
    b'uest\x12\x12\n\x04name\x18\x01 \x01(\tR\x04name\x12\x18\n\x07version\x18\x02 \x01(\tR\x07version"*\n\x12ModelR'
    b'eadyResponse\x12\x14\n\x05ready\x18\x01 \x01(\x08R\x05ready"\x17\n\x15ServerMetadataRequest"'
    b'f\n\x16ServerMetadataResponse\x12\x12\n\x04name\x18\x01 \x01(\tR\x04name\x12\x18\n\x07version\x18\x02 \x01'
    b'(\tR\x07version\x12\x1e\n\nextensions\x18\x03 \x03(\tR\nextensions"D\n\x14ModelMetadata'
    b'Request\x12\x12\n\x04name\x18\x01 \x01(\tR\x04name\x12\x18\n\x07version\x18\x02 \x01(\tR\x07version"\xe0\x03\n\x15Mo'
    b'delMetadataResponse\x12\x12\n\x04name\x18\x01 \x01(\tR\x04name\x12\x1a\n\x08versions\x18\x02 \x03(\tR\x08v'
    b'ersions\x12\x1a\n\x08platform\x18\x03 \x01(\tR\x08platform\x12G\n\x06inputs\x18\x04 \x03(\x0b2/.infere'
    b'nce.ModelMetadataResponse.TensorMetadataR\x06inputs\x12I\n\x07outputs\x18'
    b'\x05 \x03(\x0b2/.inference.ModelMetadataResponse.TensorMetadataR\x07outp'
    b'uts\x12P\n\nproperties\x18\x06 \x03(\x0b20.inference.ModelMetadataResponse.Pr'
    b'opertiesEntryR\nproperties\x1aV\n\x0eTensorMetadata\x12\x12\n\x04name\x18\x01 \x01(\tR\x04n'
    b'ame\x12\x1a\n\x08datatype\x18\x02 \x01(\tR\x08datatype\x12\x14\n\x05shape\x18\x03 \x03(\x03R\x05shape\x1a=\n\x0fPro'
    b'pertiesEntry\x12\x10\n\x03key\x18\x01 \x01(\tR\x03key\x12\x14\n\x05value\x18\x02 \x01(\tR\x05value:\x028\x01"\xd7\x01\n'
    b'\x0eInferParameter\x12\x1f\n\nbool_param\x18\x01 \x01(\x08H\x00R\tboolParam\x12!\n\x0bint64_pa'
    b'ram\x18\x02 \x01(\x03H\x00R\nint64Param\x12#\n\x0cstring_param\x18\x03 \x01(\tH\x00R\x0bstringParam'
    b'\x12#\n\x0cdouble_param\x18\x04 \x01(\x01H\x00R\x0bdoubleParam\x12#\n\x0cuint64_param\x18\x05 \x01(\x04H'
    b'\x00R\x0buint64ParamB\x12\n\x10parameter_choice"\xc3\x02\n\x13InferTensorContents\x12#'
    b'\n\rbool_contents\x18\x01 \x03(\x08R\x0cboolContents\x12!\n\x0cint_contents\x18\x02 \x03(\x05R\x0bi'
    b'ntContents\x12%\n\x0eint64_contents\x18\x03 \x03(\x03R\rint64Contents\x12#\n\ruint_co'
    b"ntents\x18\x04 \x03(\rR\x0cuintContents\x12'\n\x0fuint64_contents\x18\x05 \x03(\x04R\x0euint64C"
    b'ontents\x12#\n\rfp32_contents\x18\x06 \x03(\x02R\x0cfp32Contents\x12#\n\rfp64_content'
    b's\x18\x07 \x03(\x01R\x0cfp64Contents\x12%\n\x0ebytes_contents\x18\x08 \x03(\x0cR\rbytesContents'
    b'"\x9d\x08\n\x11ModelInferRequest\x12\x1d\n\nmodel_name\x18\x01 \x01(\tR\tmodelName\x12#\n\rmod'
    b'el_version\x18\x02 \x01(\tR\x0cmodelVersion\x12\x0e\n\x02id\x18\x03 \x01(\tR\x02id\x12L\n\nparameters'
    b'\x18\x04 \x03(\x0b2,.inference.ModelInferRequest.ParametersEntryR\nparame'
    b'ters\x12E\n\x06inputs\x18\x05 \x03(\x0b2-.inference.ModelInferRequest.InferInpu'
    b'tTensorR\x06inputs\x12Q\n\x07outputs\x18\x06 \x03(\x0b27.inference.ModelInferReque'
    b'st.InferRequestedOutputTensorR\x07outputs\x12,\n\x12raw_input_contents'
    b'\x18\x07 \x03(\x0cR\x10rawInputContents\x1a\xcd\x02\n\x10InferInputTensor\x12\x12\n\x04name\x18\x01 \x01(\tR'
    b'\x04name\x12\x1a\n\x08datatype\x18\x02 \x01(\tR\x08datatype\x12\x14\n\x05shape\x18\x03 \x03(\x03R\x05shape\x12]\n\np'
    b'arameters\x18\x04 \x03(\x0b2=.inference.ModelInferRequest.InferInputTens'
    b'or.ParametersEntryR\nparameters\x12:\n\x08contents\x18\x05 \x01(\x0b2\x1e.inference'
    b'.InferTensorContentsR\x08contents\x1aX\n\x0fParametersEntry\x12\x10\n\x03key\x18\x01 \x01'
    b'(\tR\x03key\x12/\n\x05value\x18\x02 \x01(\x0b2\x19.inference.InferParameterR\x05value:\x028\x01'
    b'\x1a\xf3\x01\n\x1aInferRequestedOutputTensor\x12\x12\n\x04name\x18\x01 \x01(\tR\x04name\x12g\n\nparam'
    b'eters\x18\x02 \x03(\x0b2G.inference.ModelInferRequest.InferRequestedOutp'
    b'utTensor.ParametersEntryR\nparameters\x1aX\n\x0fParametersEntry\x12\x10\n\x03k'
    b'ey\x18\x01 \x01(\tR\x03key\x12/\n\x05value\x18\x02 \x01(\x0b2\x19.inference.InferParameterR\x05val'
    b'ue:\x028\x01\x1aX\n\x0fParametersEntry\x12\x10\n\x03key\x18\x01 \x01(\tR\x03key\x12/\n\x05value\x18\x02 \x01(\x0b2\x19'
    b'.inference.InferParameterR\x05value:\x028\x01"\xdf\x05\n\x12ModelInferResponse\x12'
    b'\x1d\n\nmodel_name\x18\x01 \x01(\tR\tmodelName\x12#\n\rmodel_version\x18\x02 \x01(\tR\x0cmodel'
    b'Version\x12\x0e\n\x02id\x18\x03 \x01(\tR\x02id\x12M\n\nparameters\x18\x04 \x03(\x0b2-.inference.Mode'
    b'lInferResponse.ParametersEntryR\nparameters\x12I\n\x07outputs\x18\x05 \x03(\x0b2'
    b'/.inference.ModelInferResponse.InferOutputTensorR\x07outputs\x12.\n'
    b'\x13raw_output_contents\x18\x06 \x03(\x0cR\x11rawOutputContents\x1a\xd0\x02\n\x11InferOutpu'
    b'tTensor\x12\x12\n\x04name\x18\x01 \x01(\tR\x04name\x12\x1a\n\x08datatype\x18\x02 \x01(\tR\x08datatype\x12\x14\n\x05s'
    b'hape\x18\x03 \x03(\x03R\x05shape\x12_\n\nparameters\x18\x04 \x03(\x0b2?.inference.ModelInfer'
    b'Response.InferOutputTensor.ParametersEntryR\nparameters\x12:\n\x08co'
    b'ntents\x18\x05 \x01(\x0b2\x1e.inference.InferTensorContentsR\x08contents\x1aX\n\x0fPa'
    b'rametersEntry\x12\x10\n\x03key\x18\x01 \x01(\tR\x03key\x12/\n\x05value\x18\x02 \x01(\x0b2\x19.inference.I'
    b'nferParameterR\x05value:\x028\x01\x1aX\n\x0fParametersEntry\x12\x10\n\x03key\x18\x01 \x01(\tR\x03ke'
    b'y\x12/\n\x05value\x18\x02 \x01(\x0b2\x19.inference.InferParameterR\x05value:\x028\x01"\x85\x01\n\x18M'
    b'odelStreamInferResponse\x12#\n\rerror_message\x18\x01 \x01(\tR\x0cerrorMessage'
    b'\x12D\n\x0einfer_response\x18\x02 \x01(\x0b2\x1d.inference.ModelInferResponseR\rinf'
    b'erResponse"B\n\x12ModelConfigRequest\x12\x12\n\x04name\x18\x01 \x01(\tR\x04name\x12\x18\n\x07vers'
    b'ion\x18\x02 \x01(\tR\x07version"E\n\x13ModelConfigResponse\x12.\n\x06config\x18\x01 \x01(\x0b2\x16.'
    b'inference.ModelConfigR\x06config"\x82\x01\n\nModelInput\x12\x12\n\x04name\x18\x01 \x01(\tR\x04'
    b'name\x120\n\tdata_type\x18\x02 \x01(\x0e2\x13.inference.DataTypeR\x08dataType\x12\x12\n\x04di'
    b'ms\x18\x04 \x03(\x03R\x04dims\x12\x1a\n\x08optional\x18\x08 \x01(\x08R\x08optional"g\n\x0bModelOutput\x12\x12\n'
    b'\x04name\x18\x01 \x01(\tR\x04name\x120\n\tdata_type\x18\x02 \x01(\x0e2\x13.inference.DataTypeR\x08d'
    b'ataType\x12\x12\n\x04dims\x18\x03 \x03(\x03R\x04dims"\x93\x01\n\x12ModelVersionPolicy\x12D\n\x08specif'
    b'ic\x18\x03 \x01(\x0b2&.inference.ModelVersionPolicy.SpecificH\x00R\x08specific'
    b'\x1a&\n\x08Specific\x12\x1a\n\x08versions\x18\x01 \x03(\x03R\x08versionsB\x0f\n\rpolicy_choice"\x16\n'
    b'\x14ModelDynamicBatching"\x83\x03\n\x0bModelConfig\x12\x12\n\x04name\x18\x01 \x01(\tR\x04name\x12\x1a\n'
    b'\x08platform\x18\x02 \x01(\tR\x08platform\x12\x18\n\x07backend\x18\x11 \x01(\tR\x07backend\x12D\n\x0eversi'
    b'on_policy\x18\x03 \x01(\x0b2\x1d.inference.ModelVersionPolicyR\rversionPolic'
    b'y\x12$\n\x0emax_batch_size\x18\x04 \x01(\x05R\x0cmaxBatchSize\x12+\n\x05input\x18\x05 \x03(\x0b2\x15.inf'
    b'erence.ModelInputR\x05input\x12.\n\x06output\x18\x06 \x03(\x0b2\x16.inference.ModelOu'
    b'tputR\x06output\x12L\n\x10dynamic_batching\x18\x0b \x01(\x0b2\x1f.inference.ModelDyna'
    b'micBatchingH\x00R\x0fdynamicBatchingB\x13\n\x11scheduling_choice"F\n\x16Model'
    b'StatisticsRequest\x12\x12\n\x04name\x18\x01 \x01(\tR\x04name\x12\x18\n\x07version\x18\x02 \x01(\tR\x07vers'
    b'ion"V\n\x17ModelStatisticsResponse\x12;\n\x0bmodel_stats\x18\x01 \x03(\x0b2\x1a.infere'
    b'nce.ModelStatisticsR\nmodelStats"9\n\x11StatisticDuration\x12\x14\n\x05coun'
    b't\x18\x01 \x01(\x04R\x05count\x12\x0e\n\x02ns\x18\x02 \x01(\x04R\x02ns"\xf2\x03\n\x0fInferStatistics\x126\n\x07succes'
    b's\x18\x01 \x01(\x0b2\x1c.inference.StatisticDurationR\x07success\x120\n\x04fail\x18\x02 \x01(\x0b'
    b'2\x1c.inference.StatisticDurationR\x04fail\x122\n\x05queue\x18\x03 \x01(\x0b2\x1c.infere'
    b'nce.StatisticDurationR\x05queue\x12A\n\rcompute_input\x18\x04 \x01(\x0b2\x1c.infere'
    b'nce.StatisticDurationR\x0ccomputeInput\x12A\n\rcompute_infer\x18\x05 \x01(\x0b2\x1c'
    b'.inference.StatisticDurationR\x0ccomputeInfer\x12C\n\x0ecompute_output'
    b'\x18\x06 \x01(\x0b2\x1c.inference.StatisticDurationR\rcomputeOutput\x129\n\tcache'
    b'_hit\x18\x07 \x01(\x0b2\x1c.inference.StatisticDurationR\x08cacheHit\x12;\n\ncache_'
    b'miss\x18\x08 \x01(\x0b2\x1c.inference.StatisticDurationR\tcacheMiss"\x80\x02\n\x14Infe'
    b'rBatchStatistics\x12\x1d\n\nbatch_size\x18\x01 \x01(\x04R\tbatchSize\x12A\n\rcompute_i'
    b'nput\x18\x02 \x01(\x0b2\x1c.inference.StatisticDurationR\x0ccomputeInput\x12A\n\rco'
    b'mpute_infer\x18\x03 \x01(\x0b2\x1c.inference.StatisticDurationR\x0ccomputeInfe'
    b'r\x12C\n\x0ecompute_output\x18\x04 \x01(\x0b2\x1c.inference.StatisticDurationR\rcom'
    b'puteOutput"\xbf\x02\n\x0fModelStatistics\x12\x12\n\x04name\x18\x01 \x01(\tR\x04name\x12\x18\n\x07versio'
    b"n\x18\x02 \x01(\tR\x07version\x12%\n\x0elast_inference\x18\x03 \x01(\x04R\rlastInference\x12'\n\x0fi"
    b"nference_count\x18\x04 \x01(\x04R\x0einferenceCount\x12'\n\x0fexecution_count\x18\x05 \x01("
    b'\x04R\x0eexecutionCount\x12C\n\x0finference_stats\x18\x06 \x01(\x0b2\x1a.inference.Infer'
    b'StatisticsR\x0einferenceStats\x12@\n\x0bbatch_stats\x18\x07 \x03(\x0b2\x1f.inference.'
    b'InferBatchStatisticsR\nbatchStats"W\n\x16RepositoryIndexRequest\x12\''
    b'\n\x0frepository_name\x18\x01 \x01(\tR\x0erepositoryName\x12\x14\n\x05ready\x18\x02 \x01(\x08R\x05read'
    b'y"\xca\x01\n\x17RepositoryIndexResponse\x12E\n\x06models\x18\x01 \x03(\x0b2-.inference.Re'
    b'positoryIndexResponse.ModelIndexR\x06models\x1ah\n\nModelIndex\x12\x12\n\x04na'
    b'me\x18\x01 \x01(\tR\x04name\x12\x18\n\x07version\x18\x02 \x01(\tR\x07version\x12\x14\n\x05state\x18\x03 \x01(\tR\x05sta'
    b'te\x12\x16\n\x06reason\x18\x04 \x01(\tR\x06reason*\xfa\x01\n\x08DataType\x12\x10\n\x0cTYPE_INVALID\x10\x00\x12\r\n'
    b'\tTYPE_BOOL\x10\x01\x12\x0e\n\nTYPE_UINT8\x10\x02\x12\x0f\n\x0bTYPE_UINT16\x10\x03\x12\x0f\n\x0bTYPE_UINT32'
    b'\x10\x04\x12\x0f\n\x0bTYPE_UINT64\x10\x05\x12\r\n\tTYPE_INT8\x10\x06\x12\x0e\n\nTYPE_INT16\x10\x07\x12\x0e\n\nTYPE_I'
    b'NT32\x10\x08\x12\x0e\n\nTYPE_INT64\x10\t\x12\r\n\tTYPE_FP16\x10\n\x12\r\n\tTYPE_FP32\x10\x0b\x12\r\n\tTYPE'
    b'_FP64\x10\x0c\x12\x0f\n\x0bTYPE_STRING\x10\r\x12\r\n\tTYPE_BF16\x10\x0e2\xe1\x06\n\x14GRPCInferenceSer'
    b'vice\x12K\n\nServerLive\x12\x1c.inference.ServerLiveRequest\x1a\x1d.inference'
    b'.ServerLiveResponse"\x00\x12N\n\x0bServerReady\x12\x1d.inference.ServerReady'
    b'Request\x1a\x1e.inference.ServerReadyResponse"\x00\x12K\n\nModelReady\x12\x1c.in'
    b'ference.ModelReadyRequest\x1a\x1d.inference.ModelReadyResponse"\x00\x12W'
    b'\n\x0eServerMetadata\x12 .inference.ServerMetadataRequest\x1a!.inferen'
    b'ce.ServerMetadataResponse"\x00\x12T\n\rModelMetadata\x12\x1f.inference.Mod'
    b'elMetadataRequest\x1a .inference.ModelMetadataResponse"\x00\x12K\n\nMod'
    b'elInfer\x12\x1c.inference.ModelInferRequest\x1a\x1d.inference.ModelInfer'
    b'Response"\x00\x12[\n\x10ModelStreamInfer\x12\x1c.inference.ModelInferRequest'
    b'\x1a#.inference.ModelStreamInferResponse"\x00(\x010\x01\x12N\n\x0bModelConfig\x12\x1d'
    b'.inference.ModelConfigRequest\x1a\x1e.inference.ModelConfigRespons'
    b'e"\x00\x12Z\n\x0fModelStatistics\x12!.inference.ModelStatisticsRequest\x1a".'
    b'inference.ModelStatisticsResponse"\x00\x12Z\n\x0fRepositoryIndex\x12!.inf'
    b'erence.RepositoryIndexRequest\x1a".inference.RepositoryIndexRes'
    b'ponse"\x00b\x06proto3'
)

ServerLiveRequest = GetMessageClass(DESCRIPTOR.message_types_by_name["ServerLiveRequest"])
ServerLiveResponse = GetMessageClass(DESCRIPTOR.message_types_by_name["ServerLiveResponse"])
ServerReadyRequest = GetMessageClass(DESCRIPTOR.message_types_by_name["ServerReadyRequest"])
ServerReadyResponse = GetMessageClass(DESCRIPTOR.message_types_by_name["ServerReadyResponse"])
ModelReadyRequest = GetMessageClass(DESCRIPTOR.message_types_by_name["ModelReadyRequest"])
ModelReadyResponse = GetMessageClass(DESCRIPTOR.message_types_by_name["ModelReadyResponse"])
ServerMetadataRequest = GetMessageClass(DESCRIPTOR.message_types_by_name["ServerMetadataRequest"])
ServerMetadataResponse = GetMessageClass(DESCRIPTOR.message_types_by_name["ServerMetadataResponse"])
ModelMetadataRequest = GetMessageClass(DESCRIPTOR.message_types_by_name["ModelMetadataRequest"])
ModelMetadataResponse = GetMessageClass(DESCRIPTOR.message_types_by_name["ModelMetadataResponse"])
InferParameter = GetMessageClass(DESCRIPTOR.message_types_by_name["InferParameter"])
InferTensorContents = GetMessageClass(DESCRIPTOR.message_types_by_name["InferTensorContents"])
ModelInferRequest = GetMessageClass(DESCRIPTOR.message_types_by_name["ModelInferRequest"])
ModelInferResponse = GetMessageClass(DESCRIPTOR.message_types_by_name["ModelInferResponse"])
ModelStreamInferResponse = GetMessageClass(DESCRIPTOR.message_types_by_name["ModelStreamInferResponse"])
ModelConfigRequest = GetMessageClass(DESCRIPTOR.message_types_by_name["ModelConfigRequest"])
ModelConfigResponse = GetMessageClass(DESCRIPTOR.message_types_by_name["ModelConfigResponse"])
ModelInput = GetMessageClass(DESCRIPTOR.message_types_by_name["ModelInput"])
ModelOutput = GetMessageClass(DESCRIPTOR.message_types_by_name["ModelOutput"])
ModelVersionPolicy = GetMessageClass(DESCRIPTOR.message_types_by_name["ModelVersionPolicy"])
ModelDynamicBatching = GetMessageClass(DESCRIPTOR.message_types_by_name["ModelDynamicBatching"])
ModelConfig = GetMessageClass(DESCRIPTOR.message_types_by_name["ModelConfig"])
ModelStatisticsRequest = GetMessageClass(DESCRIPTOR.message_types_by_name["ModelStatisticsRequest"])
ModelStatisticsResponse = GetMessageClass(DESCRIPTOR.message_types_by_name["ModelStatisticsResponse"])
StatisticDuration = GetMessageClass(DESCRIPTOR.message_types_by_name["StatisticDuration"])
InferStatistics = GetMessageClass(DESCRIPTOR.message_types_by_name["InferStatistics"])
InferBatchStatistics = GetMessageClass(DESCRIPTOR.message_types_by_name["InferBatchStatistics"])
ModelStatistics = GetMessageClass(DESCRIPTOR.message_types_by_name["ModelStatistics"])
RepositoryIndexRequest = GetMessageClass(DESCRIPTOR.message_types_by_name["RepositoryIndexRequest"])
RepositoryIndexResponse = GetMessageClass(DESCRIPTOR.message_types_by_name["RepositoryIndexResponse"])
DataType = EnumTypeWrapper(DESCRIPTOR.enum_types_by_name["DataType"])
TYPE_INVALID = 0
TYPE_BOOL = 1
TYPE_UINT8 = 2
TYPE_UINT16 = 3
TYPE_UINT32 = 4
TYPE_UINT64 = 5
TYPE_INT8 = 6
TYPE_INT16 = 7
TYPE_INT32 = 8
TYPE_INT64 = 9
TYPE_FP16 = 10
TYPE_FP32 = 11
TYPE_FP64 = 12
TYPE_STRING = 13
TYPE_BF16 = 14
